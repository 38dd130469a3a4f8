"""The page of what experiments found, with its pictures beside it."""

import shutil
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from equivdm.arrays import Frames
from equivdm.errors import EquivdmError
from equivdm.findings.bars import DRIVING
from equivdm.findings.claims import CLAIMS
from equivdm.findings.page import render
from equivdm.findings.result import Result
from pipelines.config import ReproduceJob, StudyConfig
from pipelines.progress import progress
from pipelines.reproducing.pictures import film, strip
from pipelines.reproducing.plots import plot
from pipelines.reproducing.results import footage, read_ended, wall_seconds
from pipelines.reproducing.summary import about, result_of
from pipelines.store import Store

PICTURES = Path("images", "results")
"""Folder of the pictures, beside the page."""

MOST_BYTES = 3_000_000
"""Of all pictures: they are kept with the code."""


@dataclass(frozen=True)
class Heading:
    """What a page says of how it was made."""

    command: str
    """That makes all of it; with an experiment's name behind it, that one alone."""
    trial_run: bool = False
    """Whether its size only shows that everything runs."""


def write_page(config: ReproduceJob, store: Store, path: Path, heading: Heading, kept: bool = False) -> Path:
    """Write the page and its pictures from what the store holds, and return its path.

    Args:
        config: the experiments, in the page's order. One that is not measured says so.
        store: where their numbers lie.
        path: of the page. Pictures of the same names are replaced.
        heading: what it says of itself.
        kept: whether the page is kept with the code, which bounds the bytes of its pictures.

    Raises:
        EquivdmError: where the pictures of a page that is kept are too large together; nothing is written then.
    """
    ended, results = read_ended(config, store), list[Result]()
    with tempfile.TemporaryDirectory(prefix="equivdm-") as scratch:
        drawn = Path(scratch)
        with progress("page", len(config.studies)) as advance:
            for study in config.studies:
                result = result_of(study, ended, f"{heading.command} {study.experiment}")
                pictures = _draw(result, study, store, drawn) if result.trials.rows else {}
                results.append(replace(result, pictures=list(pictures.values())))
                advance()
        if kept:
            _check_size(list(drawn.iterdir()))
        folder = path.parent / PICTURES
        folder.mkdir(parents=True, exist_ok=True)
        for picture in drawn.iterdir():
            shutil.copyfile(picture, folder / picture.name)
    told = about(ended, heading.command, heading.trial_run, wall_seconds(config, store))
    path.write_text(render(results, told), encoding="utf-8")
    return path


def _draw(result: Result, study: StudyConfig, store: Store, folder: Path) -> dict[Path, str]:
    """Draw an experiment's pictures, and return how each is shown."""
    chart = folder / f"{result.name}.png"
    plot(result, chart)
    shown = {chart: f"![{result.title}: means with 95% intervals]({_link(chart)})"}
    videos = _chosen(footage(study, store), result.name)
    if not videos:
        return shown
    sheet, moving = folder / f"{result.name}_frames.png", folder / f"{result.name}.mp4"
    strip(videos, sheet)
    film(videos, moving)
    names = ", ".join(videos)
    about_rows = (
        f"Frames of held-out clip 0, seed 0; rows from above: {names}. [As a video]({_link(moving)}), from the left, "
        "forth and back."
    )
    return shown | {sheet: f'<img src="{_link(sheet)}" width="640" alt="{names}">', moving: about_rows}


def _chosen(videos: dict[str, list[Frames]], experiment: str) -> dict[str, list[Frames]]:
    """Return the videos that claims are about, behind the driving ones."""
    wanted = (DRIVING, *CLAIMS[experiment].shown) if experiment in CLAIMS else tuple(videos)
    return {name: videos[name] for name in wanted if name in videos}


def _link(file: Path) -> str:
    return (PICTURES / file.name).as_posix()


def _check_size(files: list[Path]) -> None:
    total = sum(file.stat().st_size for file in files)
    if total > MOST_BYTES:
        raise EquivdmError(
            f"pictures: got {total:,} bytes, wanted at most {MOST_BYTES:,} to be kept with the code: show fewer videos "
            "(equivdm/findings/claims.py)"
        )
