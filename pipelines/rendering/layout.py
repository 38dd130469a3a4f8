"""How a driving video is parted: into shots, each with its own noise, and these into windows of the model's length."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

from equivdm.backbones import backbone_of
from equivdm.backbones.geometry import Geometry
from equivdm.config import BackboneConfig
from equivdm.seeds import derive_seed
from equivdm.spans import Span, lay_spans, pieces_of
from equivdm.video.frame import Fit, fit
from pipelines.config import RenderJob
from pipelines.tables import Row


@dataclass(frozen=True)
class Take:
    """A shot of a driving video, and the windows that cover it."""

    number: int
    first: int
    """Its first frame in the video."""
    frames: int
    spans: tuple[Span, ...]

    @cached_property
    def pieces(self) -> tuple[range, ...]:
        """What the windows add one after the other."""
        return pieces_of(self.spans)


def takes_of(drive: Row, job: RenderJob, geometry: Geometry) -> tuple[Take, ...]:
    """Return the shots of a video, given its row of `drives`. Raises ValueError for windows that no codec takes."""
    edges = [*drive["shots"], drive["frames"]]
    return tuple(
        Take(
            number=number,
            first=first,
            frames=stop - first,
            spans=lay_spans(stop - first, job.window.frames, job.window.overlap, geometry),
        )
        for number, (first, stop) in enumerate(pairwise(edges))
    )


def is_long(takes: Sequence[Take]) -> bool:
    """Whether a video has more than one window, and so is sampled before it is written."""
    return len(takes) > 1 or len(takes[0].spans) > 1


def fit_of(drive: Row, job: RenderJob, backbone: BackboneConfig) -> Fit:
    """Return how the frames of a video are brought to the model's size. Raises UsageError for one that it cannot be."""
    return fit((drive["height"], drive["width"]), job.frame, backbone_of(backbone).multiple)


def seeds_of(job: RenderJob, content: str, take: Take, draws: int) -> list[int]:
    """Return the seeds of a shot's noise: of where it starts, and of each re-noising."""
    own = (job.seed, "render", content, take.first)
    return [derive_seed(*own), *(derive_seed(*own, "draw", number) for number in range(1, draws))]
