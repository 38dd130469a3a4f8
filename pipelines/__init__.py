"""EquiVDM on a cluster: Ray Data and Ray Train programs over Delta tables."""
