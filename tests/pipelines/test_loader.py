"""Samples are pure functions of their place, and the noise they bring has the law it should."""

import io
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from pyarrow.parquet import ParquetFile

from equivdm.backbones import backbone_of
from equivdm.backbones.wan.backbone import WanBackbone
from equivdm.config import NoiseConfig, TinyConfig
from equivdm.errors import BadClip, EquivdmError, StoreUnwell, UsageError
from pipelines import patience
from pipelines.loader import Batch, ClipReader, Loader, SampleConfig, prefetched, share
from pipelines.settings import StoreConfig
from pipelines.store import Store, open_store
from pipelines.tables import Table
from tests.pipelines.fit_cases import CELLS, FRAMES, write_clips

TINY, WARPED = backbone_of(TinyConfig()), NoiseConfig()


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, list[str]]:
    """Six clips in a store."""
    store = open_store(StoreConfig(root=str(tmp_path_factory.mktemp("store"))))
    return store, write_clips(store)


def loader(clips: tuple[Store, list[str]], rank: int = 0, world: int = 1, **changes: object) -> Loader:
    """A loader of batches of four."""
    store, keys = clips
    config = SampleConfig(**{"seed": 1, "batch": 4, "noise": WARPED, "diffusion": TINY.diffusion(), **changes})
    return Loader(config, keys, ClipReader(store, keys, TINY.geometry), rank, world)


def tensors(batch: Batch) -> list[torch.Tensor]:
    """All that a batch holds."""
    return [batch.latents, *batch.noises, batch.times, batch.conditions.text, batch.conditions.control]


def test_the_same_samples_with_any_number_of_workers(clips: tuple[Store, list[str]]) -> None:
    for number in (0, 1, 7):
        whole = tensors(loader(clips, draws=2, text_dropout=0.5).batch(number))
        for world in (2, 4):
            ranks = [loader(clips, rank, world, draws=2, text_dropout=0.5) for rank in range(world)]
            parts = zip(*(tensors(rank.batch(number)) for rank in ranks), strict=True)
            assert all(torch.equal(torch.cat(part), all_) for part, all_ in zip(parts, whole, strict=True))


def test_a_batch_does_not_depend_on_what_came_before(clips: tuple[Store, list[str]]) -> None:
    one, other = loader(clips), loader(clips)
    for number in range(5):
        one.batch(number)
    pairs = zip(tensors(one.batch(5)), tensors(other.batch(5)), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_every_clip_comes_once_an_epoch_in_a_new_order(clips: tuple[Store, list[str]]) -> None:
    drawn = [loader(clips).key(*divmod(place, 4)) for place in range(18)]
    epochs = [drawn[0:6], drawn[6:12], drawn[12:18]]
    assert all(Counter(epoch) == Counter(clips[1]) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 1


def test_each_draw_of_noise_is_fresh_white_and_of_unit_variance(clips: tuple[Store, list[str]]) -> None:
    batches = [loader(clips, draws=2).batch(number) for number in range(24)]
    noise = torch.stack([draw for batch in batches for draw in batch.noises]).double().numpy()
    assert noise.shape == (48, 4, 3, FRAMES, CELLS, CELLS)
    count = noise.size / FRAMES  # the frames of a clip are not independent
    assert abs(noise.mean()) < 5 / np.sqrt(count)
    assert abs(noise.var() - 1) < 5 * np.sqrt(2 / count)
    draws = noise.reshape(48 * 4, -1)
    correlation = draws @ draws.T / draws.shape[1]
    assert np.abs(correlation - np.diag(np.diag(correlation))).max() < 6 / np.sqrt(draws.shape[1] / FRAMES)


@pytest.mark.parametrize(("text", "control"), [(0.0, 1.0), (1.0, 0.0)])
def test_dropout_empties_what_it_should(clips: tuple[Store, list[str]], text: float, control: float) -> None:
    conditions = loader(clips, text_dropout=text, control_dropout=control).batch(0).conditions
    assert bool(conditions.text.any()) == (text == 0)
    assert bool(conditions.control.any()) == (control == 0)


def test_independent_noise_differs_from_frame_to_frame(clips: tuple[Store, list[str]]) -> None:
    noise = loader(clips, noise=NoiseConfig(kind="independent"), batch=24).batch(0).noises[0].double()
    correlation = (noise[:, :, 1:] * noise[:, :, :-1]).mean()
    assert abs(float(correlation)) < 5 / np.sqrt(noise[:, :, 1:].numel())


def test_a_batch_that_cannot_be_shared_out_says_so() -> None:
    assert [list(share(6, rank, 3)) for rank in range(3)] == [[0, 1], [2, 3], [4, 5]]
    with pytest.raises(UsageError, match="got 4 clips for 3 workers"):
        share(4, 0, 3)


def test_a_small_cache_gives_the_same_clips(clips: tuple[Store, list[str]]) -> None:
    store, keys = clips
    small, large = ClipReader(store, keys, TINY.geometry, capacity=1), ClipReader(store, keys, TINY.geometry)
    for key in [*keys, *keys]:
        assert np.array_equal(small(key).latents, large(key).latents)
    with pytest.raises(EquivdmError, match="1 of 2 are not in"):
        ClipReader(store, [keys[0], "absent"], TINY.geometry)


def test_prefetching_keeps_the_order_and_passes_errors_on() -> None:
    assert list(prefetched(lambda step: step * step, 2, 6)) == [(2, 4), (3, 9), (4, 16), (5, 25)]
    assert list(prefetched(str, 3, 3)) == []
    with pytest.raises(ZeroDivisionError):
        list(prefetched(lambda step: 1 // (2 - step), 0, 4))


def test_the_clips_reach_the_batch_as_stored(clips: tuple[Store, list[str]], tmp_path: Path) -> None:
    store, keys = clips
    one = loader(clips, batch=1)
    clip = ClipReader(store, keys, TINY.geometry)(one.key(0, 0))
    batch = one.batch(0)
    assert np.array_equal(batch.latents[0].numpy(), clip.latents)
    assert np.array_equal(batch.conditions.control[0].numpy(), clip.shown.control)
    assert 0 < float(batch.times[0]) < 1


def end_of(data: bytes, column: str) -> int:
    """Where the bytes of a column end in a Parquet file of one row group."""
    group = ParquetFile(io.BytesIO(data)).metadata.row_group(0)
    chunk = next(c for c in map(group.column, range(group.num_columns)) if c.path_in_schema == column)
    start = chunk.dictionary_page_offset or chunk.data_page_offset
    return start + chunk.total_compressed_size


def damage(store: Store, number: int, how: str) -> str:
    """Damage the latents or the plan of a clip of `write_clips`, and return the clip's key."""
    stage = "plans" if how == "plan" else "latents"
    clip = next(row for row in store.table("clips").rows() if row["path"] == f"video_{number}.mp4")
    table = store.table(stage)
    (file,) = (file for file in table.files() if file.key == clip[stage])
    path = f"{table.folder}/{file.name}"
    data = table.read_file(file.name)
    if how == "gone":
        store.filesystem.rm_file(path)
    elif how == "cut":
        store.filesystem.pipe_file(path, data[: len(data) // 2])
    else:
        end = end_of(data, {"plan": "plan"}.get(how, "latents.data"))
        store.filesystem.pipe_file(path, data[: end - 4] + bytes(each ^ 1 for each in data[end - 4 : end]) + data[end:])
    return clip["key"]


@pytest.mark.parametrize("how", ["gone", "cut", "changed", "plan"])
def test_a_clip_that_cannot_be_read_is_named_or_replaced(
    tmp_path: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "PAUSES_S", ())
    store = open_store(StoreConfig(root=str(tmp_path)))
    clips = store, write_clips(store)
    whole = [tensors(loader(clips, batch=6).batch(number)) for number in range(2)]
    bad = damage(store, 2, how)
    wanted = rf"clip {bad[:12]} of video_2\.mp4 cannot be trained on: .*; repair or remove it, or set fit\.on_bad_clip"
    with pytest.raises(BadClip, match=wanted):
        loader(clips, batch=6).batch(0)
    for number in range(2):
        batch = loader(clips, batch=6, replace_bad=True).batch(number)
        (why,) = batch.replaced
        assert "video_2.mp4 cannot be trained on" in why
        slot = next(slot for slot in range(6) if loader(clips, batch=6).key(number, slot) == bad)
        kept = [place for place in range(6) if place != slot]
        for one, other in zip(tensors(batch), whole[number], strict=True):
            assert torch.equal(one[kept], other[kept])
        assert (batch.latents[slot] == batch.latents[kept]).flatten(1).all(1).sum() == 1  # another one of the set
        for world in (2, 3):
            ranks = [loader(clips, rank, world, batch=6, replace_bad=True).batch(number) for rank in range(world)]
            parts = zip(*map(tensors, ranks), strict=True)
            assert all(torch.equal(torch.cat(p), all_) for p, all_ in zip(parts, tensors(batch), strict=True))
            assert [line for rank in ranks for line in rank.replaced] == [why]


def test_clips_of_another_backbone_are_told(clips: tuple[Store, list[str]]) -> None:
    store, keys = clips
    other = Loader(
        SampleConfig(1, 4, WARPED, TINY.diffusion(), replace_bad=True),
        keys,
        ClipReader(store, keys, WanBackbone.geometry),
    )
    with pytest.raises(BadClip, match=r"cannot be trained on: .*; and no other clip of its size can be read"):
        other.batch(0)


def test_a_store_that_is_unwell_is_no_bad_clip(clips: tuple[Store, list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "PAUSES_S", ())
    one = loader(clips, replace_bad=True)
    read = Table.read_files

    def unwell(self: Table, names: list[str], columns: list[str]) -> object:
        if "latents" in columns:
            return patience.patiently("here", fail)
        return read(self, names, columns)

    def fail() -> object:
        raise ConnectionError("reset by peer")

    monkeypatch.setattr(Table, "read_files", unwell)
    with pytest.raises(StoreUnwell, match="reset by peer"):
        one.batch(0)


def test_each_batch_has_clips_of_one_size(tmp_path: Path) -> None:
    store = open_store(StoreConfig(root=str(tmp_path)))
    keys = write_clips(store, 5) + write_clips(store, 3, pixels=24, first=5)
    seen = Counter[str]()
    for number in range(8):
        batch = loader((store, keys), batch=2).batch(number)
        assert batch.latents.shape[-1] in (8, 12)
        assert batch.conditions.control.shape[-1] == 2 * batch.latents.shape[-1]
        seen.update(loader((store, keys), batch=2).key(number, slot) for slot in range(2))
    assert set(seen) == set(keys)
    assert set(seen.values()) == {2}
