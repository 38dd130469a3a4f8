"""Listings of a folder, page by page, on a disk and on S3."""

import pytest

from pipelines import listing
from pipelines.listing import listed
from pipelines.store import Store


@pytest.mark.parametrize("count", [0, 2, 3, 7])
def test_all_pages_of_a_folder_are_listed_and_nothing_below_it(
    store: Store, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    monkeypatch.setattr(listing, "_PAGE", 3)
    for number in range(count):
        store.filesystem.pipe_file(store.path(f"{number} of it"), b"x" * number)
    store.filesystem.makedirs(store.path("below"), exist_ok=True)
    store.filesystem.pipe_file(store.path("below", "file"), b"x")
    found = listed(store.filesystem, store.root).sort_by("name")
    assert found.to_pylist() == [{"name": f"{number} of it", "bytes": number} for number in range(count)]


def test_a_folder_that_is_not_there_has_no_files(store: Store) -> None:
    assert len(listed(store.filesystem, store.path("nothing"))) == 0
