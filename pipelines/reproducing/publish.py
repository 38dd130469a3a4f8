"""The page of what experiments found, with its pictures beside it."""

from dataclasses import replace
from pathlib import Path

from equivdm.arrays import Frames
from equivdm.errors import EquivdmError
from equivdm.findings.claims import CLAIMS
from equivdm.findings.page import Result, render
from pipelines.config import ReproduceJob, StudyConfig
from pipelines.progress import progress
from pipelines.reproducing.pictures import film, strip
from pipelines.reproducing.plots import DRIVING, plot
from pipelines.reproducing.results import footage, read_ended, wall_seconds
from pipelines.reproducing.summary import about, result_of
from pipelines.store import Store

PICTURES = Path("images", "results")
"""Folder of the pictures, beside the page."""

MOST_BYTES = 3_000_000
"""Of all pictures: they are kept with the code."""


def write_page(config: ReproduceJob, store: Store, path: Path, command: str) -> Path:
    """Write the page and its pictures from what the store holds, and return its path.

    Args:
        config: the experiments, in the page's order. One that is not measured says so.
        store: where their numbers lie.
        path: of the page. Pictures of the same names are replaced.
        command: that makes all of it; with an experiment's name behind it, that one alone.

    Raises:
        EquivdmError: where the pictures are too large together to be kept with the code.
    """
    ended = read_ended(config, store)
    folder = path.parent / PICTURES
    folder.mkdir(parents=True, exist_ok=True)
    results, written = [], list[Path]()
    with progress("page", len(config.studies)) as advance:
        for study in config.studies:
            result = result_of(study, ended, f"{command} {study.experiment}")
            pictures = _draw(result, study, store, folder) if result.trials.rows else {}
            written += pictures
            results.append(replace(result, pictures=list(pictures.values())))
            advance()
    path.write_text(render(results, about(ended, command, wall_seconds(store))), encoding="utf-8")
    _check_size(written)
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
        f"Frames of held-out clip 0, seed 0; rows from above: {names}. [As a video]({_link(moving)}), from the left."
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
