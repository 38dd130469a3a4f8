"""Windows of a shot joined into one video of latents: a crossfade where they overlap."""

from collections.abc import Iterable, Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from equivdm.backbones.geometry import Geometry
from equivdm.spans import Span
from equivdm.types import LatentChunk

Weights = Float[Tensor, " time"]


def blend(windows: Iterable[tuple[Span, LatentChunk]], geometry: Geometry) -> Iterator[LatentChunk]:
    """Yield the latents of a shot in order, in chunks, from those of its windows.

    Where windows overlap, a later one takes over from those before it by `crossfade`. The weights of all windows add
    up to 1, so that equal windows come out as they are, to the bit. In one pass; in hand is never more than a window.

    Args:
        windows: in the order of `equivdm.spans.lay_spans`, each with its latents.
        geometry: of the latents.

    Raises:
        ValueError: for a window that leaves a gap, or does not end behind the one before, or latents of another length.
    """
    held, start = None, 0  # what may still change, and the latent frame where it begins
    for span, latents in windows:
        first = span.start // geometry.time_stride
        _check(span, latents, geometry, start, held)
        if held is None:
            held = latents
            continue
        yield held[:, :, : first - start]
        held, start = _joined(held[:, :, first - start :], latents, geometry.causal), first
    if held is not None:
        yield held


def crossfade(frames: int, causal: bool) -> Weights:
    """Return the weights of the later window in the latent frames that two share: a straight rise from 0 to 1.

    A causal codec's first latent frame stands for one video frame only, in a video that goes on for a whole stride: it
    gets no weight.
    """
    unused = int(causal)
    rise = torch.arange(1, frames - unused + 1) / (frames - unused + 1)
    return torch.cat([torch.zeros(unused), rise])[:frames]


def _joined(old: LatentChunk, new: LatentChunk, causal: bool) -> LatentChunk:
    """Return latents that begin as the old ones and go over to the new ones, whose first frames they are."""
    shared = old.shape[2]
    weights = crossfade(shared, causal).to(new)[:, None, None]
    return torch.cat([torch.lerp(old, new[:, :, :shared], weights), new[:, :, shared:]], dim=2)


def _check(span: Span, latents: LatentChunk, geometry: Geometry, start: int, held: LatentChunk | None) -> None:
    frames = len(geometry.frame_indices(span.frames))
    if latents.shape[2] != frames:
        raise ValueError(f"blend: got {latents.shape[2]} latent frames for {span}, wanted {frames}")
    first, stop = span.start // geometry.time_stride, start + (0 if held is None else held.shape[2])
    if (held is None and first != 0) or (held is not None and not start < first <= stop < first + frames):
        raise ValueError(
            f"blend: got {span}, latent frames {first} to {first + frames - 1}, after frames {start} to {stop - 1}: "
            "give all windows of the shot, in order"
        )
