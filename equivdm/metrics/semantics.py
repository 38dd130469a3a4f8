"""What CLIP and DINO find in a video: does it show its caption, and the same thing throughout?"""

import numpy as np

from equivdm.arrays import Features
from equivdm.metrics.case import Case


def clip_text(case: Case) -> float:
    """100 max(cos(frame, caption), 0) of CLIP's embeddings, mean over frames: 0 to 100.

    Hessel et al., "CLIPScore", 2021, but for its factor of 2.5 in place of 100.
    """
    from equivdm.networks.embeddings import clip_caption

    caption = clip_caption(case.words, case.weights.path("clip"), case.device)
    return float(100 * (case.seen_by_clip @ caption).clip(min=0).mean())


def clip_frame(case: Case) -> float:
    """Cosine of CLIP's embeddings of neighbouring frames, mean over the steps: at most 1."""
    return float(_cosines(_several(case.seen_by_clip))[0].mean())


def background_consistency(case: Case) -> float:
    """VBench's background consistency: see `_consistency`, of CLIP's embeddings."""
    return _consistency(case.seen_by_clip)


def subject_consistency(case: Case) -> float:
    """VBench's subject consistency: see `_consistency`, of DINO's embeddings."""
    from equivdm.networks.embeddings import dino_frames

    return _consistency(dino_frames(case.frames, case.weights.path("dino"), case.device))


def _consistency(embeddings: Features) -> float:
    """(max(cos to the frame before, 0) + max(cos to the first, 0)) / 2, mean over the frames but the first: 0 to 1.

    Huang et al., "VBench", arXiv 2311.17982; the cosines are clipped in its code.
    """
    before, first = _cosines(_several(embeddings))
    return float((before.clip(min=0) + first.clip(min=0)).mean() / 2)


def _cosines(embeddings: Features) -> tuple[np.ndarray, np.ndarray]:
    """Return the cosine of each frame but the first with the one before, and with the first."""
    return (embeddings[1:] * embeddings[:-1]).sum(1), embeddings[1:] @ embeddings[0]


def _several(embeddings: Features) -> Features:
    if len(embeddings) < 2:
        raise ValueError(f"frames: got {len(embeddings)}, wanted at least 2: a picture is no video")
    return embeddings
