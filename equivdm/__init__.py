"""EquiVDM: video diffusion on motion-locked ("warped") noise. The method, on tensors; it knows no cluster."""
