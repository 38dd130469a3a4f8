"""VideoCrafter2 (Chen et al. 2024, arXiv 2401.09047), the paper's first backbone, from its public checkpoint."""
