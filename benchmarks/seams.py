"""Do windows show in a long video? `python -m benchmarks.seams STORE MODEL`, a model of the tiny backbone in a store.

`equivdm demo` leaves one: `python -m benchmarks.seams out/demo/store equivdm`. Scenes of 96 frames with exact motion
are rendered in windows of 16, with noise from one stream, and with a stream for each window, blended and cut.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean

import numpy as np
import torch

from benchmarks.figures import Figure, show
from equivdm.arrays import Frames
from equivdm.backbones import backbone_of
from equivdm.backbones.base import Codec, Conditions, DenoiserModule
from equivdm.blend import blend
from equivdm.config import ControlConfig
from equivdm.control import control_map
from equivdm.metrics.seams import seam_ratio, temporal_errors
from equivdm.sampling import sample
from equivdm.seeds import derive_seed
from equivdm.spans import Span, lay_spans, pieces_of, pieces_under, seams_of
from equivdm.strands import follow, noise_of
from equivdm.types import Latents
from equivdm.video.synthetic import Scene, render_scene
from equivdm.video.tensors import to_frames
from pipelines.models import ModelRecord, load_denoiser
from pipelines.settings import StoreConfig
from pipelines.store import open_store

FRAMES, LENGTH, SIDE = 96, 16, 64
BAR = 1.1
"""Temporal error at seams over that elsewhere, at most."""

Windows = list[tuple[Span, Latents]]


@dataclass(frozen=True)
class Painter:
    """A model and what it is driven by."""

    denoiser: DenoiserModule
    codec: Codec
    model: ModelRecord
    scene: Scene

    @torch.inference_mode()
    def windows(self, spans: Sequence[Span], seed: int, apart: bool) -> Windows:
        """Sample each window; `apart` gives each a stream of noise of its own."""
        geometry, size = self.codec.geometry, (SIDE, SIDE)
        diffusion = backbone_of(self.model.backbone).diffusion(self.model.objective)
        control = torch.from_numpy(control_map(self.scene.frames, ControlConfig(kind="grey")))
        pieces, flow = pieces_of(spans), [(self.scene.forward, self.scene.backward)]
        strands = follow(flow, pieces, size, grid=geometry.grid(*size), per_cell=4, stride=1, frames=FRAMES)
        plans = {strand.number: strand.plan for strand in strands}
        windows = []
        for number, span in enumerate(spans):
            under = {piece: plans[piece] for piece in pieces_under(span, pieces)}
            own = derive_seed(seed, number) if apart else seed
            noise = noise_of(span, under, geometry, geometry.channels, own, self.model.noise)
            shown = control[list(span.indices(FRAMES))][None]
            conditions = Conditions(torch.zeros(1, 1, dtype=torch.int64), shown, torch.tensor([12.0]))
            start = torch.from_numpy(noise)[None]
            windows.append((span, sample(self.denoiser, start, conditions, self.model.sampler, diffusion)))
        return windows

    @torch.inference_mode()
    def video(self, windows: Windows) -> Frames:
        """Blend and decode."""
        parts = self.codec.decode_stream(blend(windows, self.codec.geometry))
        return np.concatenate([to_frames(part[0]) for part in parts])

    def ratio(self, video: Frames, seams: Sequence[int]) -> float:
        """Return the seam ratio of a video."""
        steps = zip(self.scene.backward, self.scene.occluded_backward, strict=True)
        return seam_ratio(list(temporal_errors(video, steps)), seams)


def cut(windows: Windows) -> tuple[Windows, list[int]]:
    """Return windows that end in the middle of where they overlap, and the steps from one to the next."""
    edges = [0, *((a.stop + b.start) // 2 for (a, _), (b, _) in pairwise(windows)), windows[-1][0].stop]
    parts = [
        (Span(first, stop - first), latents[:, :, first - span.start : stop - span.start])
        for (span, latents), (first, stop) in zip(windows, pairwise(edges), strict=True)
    ]
    return parts, [edge - 1 for edge in edges[1:-1]]


def distance(windows: Windows) -> float:
    """Return the root mean square between neighbours where they overlap, mean over neighbours."""
    pairs = [(x[:, :, b.start - a.start :], y[:, :, : a.stop - b.start]) for (a, x), (b, y) in pairwise(windows)]
    return fmean(float((x - y).square().mean().sqrt()) for x, y in pairs)


def figures(painter: Painter, overlap: int, seeds: Sequence[int], case: str) -> list[Figure]:
    """Measure one scene with one overlap: means over seeds, and the greatest ratio of what must meet the bar."""
    spans = lay_spans(FRAMES, LENGTH, overlap, painter.codec.geometry)
    found = []
    for apart in (False, True):
        every = [painter.windows(spans, seed, apart) for seed in seeds]
        blended = [painter.ratio(painter.video(windows), seams_of(spans)) for windows in every]
        cuts = [painter.ratio(painter.video(parts), steps) for parts, steps in map(cut, every)]
        name = f"{case}, overlap {overlap}, {'a stream a window' if apart else 'one stream'}"
        found += [
            Figure(name, "distance of neighbours", fmean(map(distance, every))),
            Figure(name, "seam ratio, cut", fmean(cuts)),
            Figure(name, "seam ratio, blended", max(blended), None if apart else BAR),
        ]
    return found


def main() -> None:
    """Print the figures of some scenes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("store")
    parser.add_argument("model")
    parser.add_argument("--scenes", type=int, nargs="+", default=[901, 902])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    given = parser.parse_args()
    denoiser, codec, model = load_denoiser(open_store(StoreConfig(root=given.store)), given.model, torch.device("cpu"))
    denoiser.eval()
    for scene in given.scenes:
        rendered = render_scene(scene, frames=FRAMES, height=SIDE, width=SIDE)
        painter = Painter(denoiser, codec, model, rendered)
        show([each for overlap in (4, 8) for each in figures(painter, overlap, given.seeds, f"scene {scene}")])


if __name__ == "__main__":
    main()
