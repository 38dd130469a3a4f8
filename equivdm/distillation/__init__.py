"""Distribution matching distillation to few steps (DMD and DMD2, Yin et al. 2024, arXiv 2311.18828 and 2405.14867).

The student G maps noise to a video in one step, or in few. A fake score, trained on the student's own videos, stands
beside the frozen teacher (the real score); their difference at a re-noised video is where the student is wrong. A head
on the teacher's features may tell real videos from the student's, and pairs of noise and the teacher's video may hold
the student near it. With EquiVDM every noise is a fresh draw along the clip's motion: the teacher saw no other.
"""
