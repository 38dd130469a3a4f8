"""Rendering of driving videos by hand: its steps called one after another in this process, what Ray only spreads."""

from collections.abc import Callable, Iterable, Sequence

from pipelines.batch import as_items, commit, waves
from pipelines.config import RenderJob
from pipelines.models import newest_model
from pipelines.rendering.drives import probe_drive, unknown_drives
from pipelines.rendering.files import finish_video
from pipelines.rendering.films import BEFORE, Films
from pipelines.rendering.motion import follow_shot
from pipelines.rendering.painter import Painter, WindowSampler
from pipelines.rendering.windows import encode_text
from pipelines.sources import list_videos
from pipelines.steps import NOBODY
from pipelines.store import open_store
from pipelines.tables import Row, Table

RUN = "by hand"


def films_of(job: RenderJob) -> Films:
    """Open a job's store and model."""
    store = open_store(job.store)
    return Films(job, store, newest_model(store, job.model))


def survey(films: Films) -> list[Row]:
    """Probe the source's videos, and return those that are pending."""
    listed, table = list_videos(films.source), films.store.table("drives")
    for drive in unknown_drives(films.store, films.job, listed, RUN).to_pylist():
        commit([probe_drive(drive, job=films.job, table=table)], table)
    videos, items = films.inputs(listed)
    return [row for wave in waves(items, videos, RUN) for row in wave]


def follow(films: Films, drives: Sequence[Row]) -> None:
    """Follow the motion of long videos."""
    table = films.store.table("shots")
    for shot in pending(films.shots(drives), table, films.with_strands):
        for part in follow_shot(shot, films.job, films.model, films.store, films.motion):
            commit([part], table)


def sample(films: Films, drives: Sequence[Row]) -> None:
    """Sample the windows of long videos."""
    table, actor = films.store.table("spans"), WindowSampler(films.store, films.job, films.model)
    for window in pending(films.windows(drives), table, films.with_motion):
        commit([actor(prepared(films, window))], table)


def write(films: Films, drives: Sequence[Row]) -> list[Row]:
    """Bring videos to their files, and return their rows."""
    table, actor = films.store.table("videos"), Painter(films.store, films.job, films.model)
    given = {"job": films.job, "model": films.model, "store": films.store, "reporter": NOBODY}
    for drive in films.with_windows(drives):
        commit([finish_video(actor(prepared(films, drive)), **given)], table)
    return table.rows(keys={drive["key"] for drive in drives})


def rendered(job: RenderJob) -> dict[str, Row]:
    """Render what is pending of a job, and return its rows by path."""
    films = films_of(job)
    films.check()
    drives = survey(films)
    follow(films, drives)
    sample(films, drives)
    return {row["path"]: row for row in sorted(write(films, drives), key=lambda row: row["attempt"])}


def prepared(films: Films, row: Row) -> Row:
    """Take a row through the steps before the model."""
    for function in (*BEFORE, encode_text):
        row = function(row, job=films.job, model=films.model, store=films.store)
    return row


def pending(rows: Sequence[Row], table: Table, prepare: Callable[[Sequence[Row]], Sequence[Row]]) -> Iterable[Row]:
    """Yield the rows that are not settled, ready for their first step."""
    for wave in waves(as_items(rows), table, RUN):
        yield from prepare(wave)
