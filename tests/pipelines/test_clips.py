"""Which clips a job works on."""

from pathlib import Path

import numpy as np
import pytest

from equivdm.errors import UsageError
from pipelines.clips import read_clips, select_clips
from pipelines.schemas import from_tensor
from pipelines.settings import SelectConfig, StoreConfig
from pipelines.store import Store, open_store
from tests.pipelines.fit_cases import CELLS, FRAMES, write_clips


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(StoreConfig(root=str(tmp_path)))


def paths(store: Store, **config: object) -> list[str]:
    return sorted(row["path"] for row in select_clips(store, SelectConfig.model_validate(config)))


def test_patterns_on_the_path_decide(store: Store) -> None:
    write_clips(store, count=4)
    assert paths(store) == [f"video_{number}.mp4" for number in range(4)]
    assert paths(store, include=["*_[12].mp4"]) == ["video_1.mp4", "video_2.mp4"]
    assert paths(store, exclude=["*_0.mp4", "*_3*"]) == ["video_1.mp4", "video_2.mp4"]
    assert paths(store, include=["*_1*", "*_2*"], exclude=["*_2.mp4"]) == ["video_1.mp4"]


def test_a_limit_takes_the_first_by_key_whatever_the_order_of_commits(store: Store) -> None:
    keys = write_clips(store, count=5)
    assert [row["key"] for row in select_clips(store, SelectConfig(limit=3))] == keys[:3]


def test_of_several_preprocess_configs_one_must_be_named(store: Store) -> None:
    first = write_clips(store, count=2, fingerprint="a" * 64)
    write_clips(store, count=3, fingerprint="b" * 64)
    with pytest.raises(UsageError, match=r"2 preprocess configs: b{12} \(3 clips\), a{12} \(2 clips\)"):
        select_clips(store, SelectConfig())
    assert [row["key"] for row in select_clips(store, SelectConfig(clips="aa"))] == first


def test_a_selection_of_nothing_says_what_there_is(store: Store) -> None:
    write_clips(store, count=2)
    with pytest.raises(UsageError, match=r"include=\['x/\*'\] .* selects none of 2 finished clips"):
        select_clips(store, SelectConfig(include=("x/*",)))


def test_failed_clips_are_no_clips(store: Store) -> None:
    keys = write_clips(store, count=2)
    failed = {"key": "f" * 64, "outcome": "failed", "attempt": 1, "path": "broken.mp4", "fingerprint": "f" * 64}
    store.table("clips").append([failed])
    assert [row["key"] for row in select_clips(store, SelectConfig())] == keys
    assert [row["path"] for row in read_clips(store, ["f" * 64], ["path"])] == []


def test_reading_gives_the_columns_in_the_order_of_keys(store: Store) -> None:
    keys = write_clips(store, count=3)
    rows = read_clips(store, keys[::-1], ["key", "latents"])
    assert [row["key"] for row in rows] == keys
    assert from_tensor(rows[0]["latents"]).shape == (3, FRAMES, CELLS, CELLS)
    assert from_tensor(rows[0]["latents"]).dtype == np.float16
