"""The look at the end of a run: names and sizes of what was committed, by one listing, in a folder and on S3."""

import pytest

from pipelines.batch import Ended, as_items, commit_stream, summarise
from pipelines.config import PreprocessJob
from pipelines.record import Draft
from pipelines.store import Store
from pipelines.tables import Table
from tests.pipelines.videos import preprocess_job


class Settled:
    """What a pipeline hands to the driver: rows and receipts of each item."""

    def __init__(self, table: Table, keys: str) -> None:
        self._table, self._keys = table, keys

    def iter_rows(self) -> list[dict[str, object]]:
        """Give an item with a part and a row for each key."""
        parts = [self._table.beside("latents").write({"key": key}) for key in self._keys]
        rows = [{"key": key, "outcome": "done", "attempt": 1, "path": key, "frames": 6} for key in self._keys]
        return [{"rows": [row], "parts": [vars(part)]} for row, part in zip(rows, parts, strict=True)]


@pytest.fixture
def job(store: Store) -> PreprocessJob:
    return preprocess_job("videos", store.url)


def problems(store: Store, job: PreprocessJob, keys: str) -> list[str]:
    """Commit items and sum the run up."""
    clips, draft = store.table("clips"), Draft("preprocess", job)
    ended = Ended(draft)
    commit_stream(Settled(clips, keys), clips, draft, lambda n=1, **facts: None, str, ended.add)  # type: ignore[arg-type]
    assert draft.wrote == ({"clips", "latents"} if keys else set())
    items = as_items([{"key": key} for key in keys])
    return list(summarise(draft, items, clips, ended).problems)


def test_whole_tables_have_no_misfits(store: Store, job: PreprocessJob) -> None:
    assert problems(store, job, "ab") == []


def test_what_is_gone_or_cut_short_is_told(store: Store, job: PreprocessJob) -> None:
    problems(store, job, "ab")
    latents = store.table("latents")
    gone, short = sorted(latents.files(), key=lambda file: str(file.key))
    store.filesystem.rm_file(f"{latents.folder}/{gone.name}")
    store.filesystem.pipe_file(f"{latents.folder}/{short.name}", b"short")
    wrong = [
        f"latents/{gone.name}: is missing, the log says {gone.bytes} bytes",
        f"latents/{short.name}: got 5 bytes, the log says {short.bytes} bytes",
    ]
    assert sorted(latents.misfits()) == wrong
    assert sorted(problems(store, job, "c")) == wrong
    assert problems(store, job, "") == []  # a run that writes nothing looks at nothing


def test_a_table_that_nobody_wrote_has_no_misfits(store: Store) -> None:
    assert store.table("latents").misfits() == []
