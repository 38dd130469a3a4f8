"""Experiments on the paper's claims: clips of known motion, small trainings, measurements. Tensors only, no cluster.

`equivdm.study.experiments.EXPERIMENTS` names them. Each says which models it needs, for a seed, and what it measures of
them; `equivdm.study.models.make_model` makes a model from the one that it starts from.
"""
