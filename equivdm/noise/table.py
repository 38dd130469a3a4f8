"""The rows of a table of particles."""

import numpy as np
from jaxtyping import Int32

Table = Int32[np.ndarray, "10 capacity"]
Counts = Int32[np.ndarray, " blocks"]
Some = Int32[np.ndarray, " some"]

X, Y, U, V, BLOCK, BIRTH, SITE, PATH, SHIFT, TRACK = range(10)
"""Rows of a table of particles; `equivdm.noise.particles` says what they hold."""
GONE = -1
"""Block of a particle that is lost. Its row is not filled until the table is tidied: moving all labels each step costs
more than to follow some particles in vain."""
