"""Windows of a long video, from flow to pixels: where frames do not know of each other, they are those of one pass."""

from collections.abc import Iterator

import numpy as np
import torch
from torch.nn.functional import avg_pool3d

from equivdm.backbones.base import Conditions
from equivdm.backbones.tiny.codec import TinyCodec
from equivdm.blend import blend
from equivdm.config import ControlConfig, NoiseConfig, SamplerConfig
from equivdm.control_scale import control_scale, scaled_control
from equivdm.objective import Diffusion
from equivdm.process import Straight
from equivdm.sampling import sample
from equivdm.spans import Span, lay_spans, pieces_of, pieces_under
from equivdm.strands import follow, noise_of
from equivdm.types import Latents, Times
from equivdm.video.synthetic import render_scene

FRAMES, SIDE, GRID = 29, 32, (16, 16)
CODEC, NOISE = TinyCodec(), NoiseConfig()
SCENE = render_scene(4, frames=FRAMES, height=SIDE, width=SIDE)


def frame_by_frame(x: Latents, times: Times, conditions: Conditions) -> Latents:
    """A velocity that knows the condition of its own frame only."""
    assert conditions.control is not None
    shown = avg_pool3d(conditions.control[:, None].float() / 255, (1, 2, 2))
    return 0.75 * x - shown * times[:, None, None, None, None]


def windows(spans: tuple[Span, ...]) -> Iterator[tuple[Span, Latents]]:
    pieces, config = pieces_of(spans), ControlConfig(kind="soft_edge")
    scale = control_scale(config)
    for first in range(0, FRAMES, 8):
        scale.add(SCENE.frames[first : first + 8])
    control = scaled_control(config, scale)
    flow = ((SCENE.forward[k : k + 3], SCENE.backward[k : k + 3]) for k in range(0, FRAMES - 1, 3))
    strands = follow(flow, pieces, (SIDE, SIDE), grid=GRID, per_cell=4, stride=1, frames=FRAMES)
    plans = {strand.number: strand.plan for strand in strands}
    for span in spans:
        under = {number: plans[number] for number in pieces_under(span, pieces)}
        noise = torch.from_numpy(noise_of(span, under, CODEC.geometry, 3, 5, NOISE))[None]
        shown = torch.from_numpy(control(SCENE.frames[list(span.indices(FRAMES))]))[None]
        conditions = Conditions(torch.zeros(1, 4, dtype=torch.int64), shown, torch.ones(1))
        sampler = SamplerConfig(kind="euler", steps=3)
        yield span, sample(frame_by_frame, noise, conditions, sampler, Diffusion(Straight(), "flow"))


def test_a_long_video_has_the_pixels_of_one_pass() -> None:
    spans = lay_spans(FRAMES, 8, 3, CODEC.geometry)
    assert len(spans) > 3
    ((_, whole),) = windows((Span(0, FRAMES),))
    chunks = list(CODEC.decode_stream(blend(windows(spans), CODEC.geometry)))
    np.testing.assert_array_equal(torch.cat(chunks, dim=2).numpy(), CODEC.decode(whole).numpy())
