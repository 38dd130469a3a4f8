"""Scores from values that are made up: values[system][metric] has a number a clip, None where there is none."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from pipelines.config import EvaluateJob
from pipelines.evaluation.pairs import Film, Laid, Pair
from pipelines.evaluation.scores import Failure, Scores

Given = Mapping[str, Mapping[str, Sequence[float | None]]]


def pair(name: str, clip: int, frames: int = 6, length: int = 6, **changes: object) -> Pair:
    """A generated video of a clip of the store: two windows of each driving video, 32 x 48."""
    driven_by = f"v{clip // 2}.mp4"
    made = Pair(
        name=name,
        path=driven_by,
        clip=f"c{clip}",
        driven_by=driven_by,
        caption="",
        fps=12.0,
        frames=frames,
        length=length,
        generated=Film(f"{name}/{clip}", f"{name}{clip}"),
        driving=Film(driven_by, driven_by, "{}"),
        reference=Film(driven_by, driven_by, "{}"),
        indices=tuple(range(frames)),
        laid=Laid((32, 48)),
        laid_reference=Laid((32, 48)),
        motion={"motion": f"m{clip}"},
        window=clip % 2,
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def scores(
    values: Given,
    failures: Sequence[Failure] = (),
    length: Mapping[str, int] | None = None,
    clips: int = 4,
    **changes: object,
) -> Scores:
    """Return what an evaluation of these sets would have found; `length` is that of a set's videos."""
    job = EvaluateJob.model_validate({"store": {"root": "store"}, "renders": list(values), "bootstrap": 200, **changes})
    known = {
        name: {
            metric: {f"c{clip}": value for clip, value in enumerate(found) if value is not None}
            for metric, found in by_metric.items()
        }
        for name, by_metric in values.items()
    }
    lengths = length or {}
    pairs = {
        name: {f"c{clip}": pair(name, clip, length=lengths.get(name, 6)) for clip in range(clips)} for name in values
    }
    return Scores(
        job=job,
        pairs=pairs,
        values=known,
        sets={name: {} for name in values},
        set_clips={},
        failures=failures,
        pending=0,
        missing=dict.fromkeys(values, 0),
        left_out={},
        seconds=dict.fromkeys(values, 0.0),
    )
