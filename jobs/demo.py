"""`equivdm demo`: all five jobs at tiny size, by the same code as the verbs, and a report at the end."""

import glob
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple, cast

from rich.box import SIMPLE
from rich.table import Table

from equivdm.errors import UsageError
from equivdm.seeds import derive_seed
from jobs.console import console, say
from jobs.scenes import Look, write_scenes
from jobs.show import in_words, show_failures
from jobs.specs import load_spec, variant
from pipelines.batch import RunSummary
from pipelines.config import EvaluateJob, Job, PreprocessJob
from pipelines.fit import TrainSummary
from pipelines.preprocess import clip_fingerprint
from pipelines.ray_session import ray_session
from pipelines.report import PAGE, report_place
from pipelines.report.material import read_material
from pipelines.report.words import summary_table
from pipelines.settings import RayConfig, SourceConfig
from pipelines.sources import list_videos
from pipelines.store import open_store

TRAIN_SCENES, HOLDOUT_SCENES = 24, 6
HOLD_OUT_EVERY = 4
"""Of one's own videos every fourth, by name, is kept from training."""


@dataclass(frozen=True)
class Source:
    """The demo's videos, and which of them are trained on and which are rendered (names below the root)."""

    root: str
    train: Sequence[str]
    render: Sequence[str]


class Stage(NamedTuple):
    """One job of the demo and what it is called on the screen."""

    label: str
    job: Job


def run(videos: str | None, out: Path | None, limit: int) -> int:
    """Bring the demo in `out` up to date and print its figures; 1 if a job left something undone.

    `videos` is a folder or an s3:// prefix, of which at most `limit` are taken; None renders clips with known motion.
    Raises UsageError for a folder that is absent or holds no video.
    """
    if limit < 1:
        raise UsageError(f"--limit: got {limit}, wanted at least 1")
    out = out or Path("out", f"demo-{Path(videos).name}" if videos else "demo")
    source = own_videos(videos, limit) if videos else scenes(out / "videos")
    stages = stages_of(source, out)
    summaries = []
    with ray_session(RayConfig()):
        for number, stage in enumerate(stages, start=1):
            say(f"[{number}/{len(stages)}] {stage.label}")
            summaries.append(import_module(f"pipelines.{_verb(stage.job)}").run(stage.job))
            show_failures(summaries[-1])
    evaluation = cast(EvaluateJob, stages[-1].job)
    console().print(_figures(evaluation))
    console().print(_times(stages, summaries))
    say(f"report: {report_place(evaluation)}/{PAGE}")
    return 0 if all(summary.ok for summary in summaries) else 1


def scenes(folder: Path) -> Source:
    """Render the demo's own clips into `folder`, but for those that are there."""
    train, holdout = (
        [f"{kind}_{number:02d}.mp4" for number in range(count)]
        for kind, count in (("train", TRAIN_SCENES), ("holdout", HOLDOUT_SCENES))
    )
    seeds = {name: derive_seed("demo", Path(name).stem) for name in (*train, *holdout)}
    write_scenes(folder, seeds, Look(saturation=0.3))  # as those that the models learnt from
    return Source(str(folder), train, holdout)


def own_videos(root: str, limit: int) -> Source:
    """Choose from a folder or prefix: at most `limit` videos, spread evenly by name, every fourth of them held out."""
    found = list_videos(SourceConfig(root=root))["path"].to_pylist()
    count = min(limit, len(found))
    names = [found[number * len(found) // count] for number in range(count)]
    if len(names) < len(found):
        say(f"Taking {len(names)} of {len(found)} videos; --limit {len(found)} takes all.")
    held = names[HOLD_OUT_EVERY - 1 :: HOLD_OUT_EVERY] or names[1:][-1:]
    if not held:
        say(f"One video only: {names[0]} is rendered by models that were trained on it.")
        return Source(root, names, names)
    say(f"Held out of training: {', '.join(held)}.")
    return Source(root, [name for name in names if name not in held], held)


def stages_of(source: Source, out: Path) -> list[Stage]:
    """The demo's jobs: the project's own specs, pointed at the source and at `out`."""
    store = {"root": str(out / "store")}
    taken = {"root": source.root, "include": _patterns([*source.train, *source.render])}
    preprocess = cast(PreprocessJob, variant(load_spec("tiny_preprocess"), store=store, source=taken))
    clips = clip_fingerprint(preprocess)
    train, render = (
        {"store": store, "data": {"include": _patterns(names), "exclude": [], "clips": clips}}
        for names in (source.train, source.render)
    )
    baseline = {"name": "independent", "noise": {"kind": "independent"}, "start": "tiny-independent"}
    bare = {"name": "motion-only", "use_control": False}
    return [
        Stage("preprocess", preprocess),
        Stage("train EquiVDM", variant(load_spec("tiny_train"), **train)),
        Stage("train independent noise", variant(load_spec("tiny_train"), **train, **baseline)),
        Stage("distill the student", variant(load_spec("tiny_distill"), **train)),
        *(
            Stage(f"render {name}", variant(load_spec("tiny_render"), **render, name=name, model=name))
            for name in ("independent", "equivdm", "student")
        ),
        Stage("render from motion only", variant(load_spec("tiny_render"), **render, **bare)),
        Stage("evaluate", variant(load_spec("tiny_evaluate"), store=store, report=str(out / "report"))),
    ]


def _patterns(names: Sequence[str]) -> list[str]:
    """Patterns that match these names and nothing else."""
    return sorted({glob.escape(name) for name in names})


def _verb(job: Any) -> str:
    return job.job


def _figures(job: EvaluateJob) -> Table:
    """The report's summary table, for the terminal."""
    material = read_material(job, open_store(job.store))
    table = Table(box=SIMPLE, show_edge=False)
    table.add_column("metric")
    for method in material.methods:
        table.add_column(method.title)
    for line in summary_table(material.found):
        arrow = {"higher": " ↑", "lower": " ↓", "neither": ""}[line.metric.better]
        cells = [_words(cell) for cell in line.cells]
        table.add_row(" ".join(filter(None, [line.metric.title, line.metric.unit])) + arrow, *cells)
    return table


def _words(cell: Any) -> str:
    if cell is None:
        return "not measured"
    mean = f"[bold green]{cell.mean}[/]" if cell.best else cell.mean
    return f"{mean} [dim]({cell.interval})[/]"


def _times(stages: Sequence[Stage], summaries: Sequence[RunSummary | TrainSummary]) -> Table:
    table = Table(box=SIMPLE, show_edge=False)
    table.add_column("stage")
    table.add_column("seconds", justify="right")
    table.add_column("items")
    for stage, summary in zip(stages, summaries, strict=True):
        table.add_row(stage.label, f"{summary.seconds:.1f}", in_words(summary))
    table.add_row("[bold]all[/]", f"[bold]{sum(summary.seconds for summary in summaries):.1f}[/]", "")
    return table
