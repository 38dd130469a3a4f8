"""Training samples: each is a pure function of (seed, number of its batch, slot in the batch, clip), of nothing else.

No random state is kept: a position in the training data is a number, any number of workers sees the same samples, and a
run that continues sees what it would have seen.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeVar

import numpy as np
import torch

from equivdm.backbones.base import Conditions
from equivdm.backbones.geometry import Geometry
from equivdm.config import NoiseConfig
from equivdm.errors import BadClip, EquivdmError, StoreUnwell, UsageError
from equivdm.objective import Diffusion
from equivdm.seeds import derive_seed
from equivdm.types import Latents, Times
from pipelines.clips import finished_clips, locate, read_parts
from pipelines.draw import draw_noise
from pipelines.order import Order, Size
from pipelines.schemas import from_tensor
from pipelines.shown import COLUMNS, Shown, columns_of, conditions_of, shown
from pipelines.store import Store
from pipelines.tables import sha256_of

T = TypeVar("T")

_COLUMNS = ("latents", "plan")

CACHED_CLIPS = 256
"""Clips that a worker keeps in memory, the latest used: a tiny clip takes 0.2 MB, one of 480x832x81 about 40 MB."""


@dataclass(frozen=True)
class SampleConfig:
    """What decides the samples."""

    seed: int
    batch: int
    """Samples of a batch, over all workers."""
    noise: NoiseConfig
    diffusion: Diffusion
    """Draws the times."""
    draws: int = 1
    """Independent draws of noise a sample."""
    renoise: NoiseConfig | None = None
    """Of all draws but the first; `noise` too where none is given."""
    empty: bool = False
    """Whether the batches have the conditions of the empty caption too."""
    text_dropout: float = 0.0
    """Share of samples without a caption."""
    control_dropout: float = 0.0
    """Share of samples without a dense condition."""
    replace_bad: bool = False
    """Whether another clip of its size stands in for one that cannot be read."""

    @property
    def kinds(self) -> list[NoiseConfig]:
        """The kind of noise of each draw."""
        return [self.noise, *[self.renoise or self.noise] * (self.draws - 1)]


class Clip(NamedTuple):
    """What training reads of a clip."""

    latents: np.ndarray
    """float32 [channels, time, h, w]."""
    plan: bytes
    shown: Shown
    """Caption and dense condition."""


@dataclass(frozen=True)
class Batch:
    """A worker's share of a batch."""

    latents: Latents
    noises: tuple[Latents, ...]
    """As many independent draws as asked for, each along the clip's motion."""
    times: Times
    conditions: Conditions
    """Dropped-out captions and dense conditions are what stands for none already."""
    replaced: tuple[str, ...] = ()
    """What is wrong with clips that others stand in for, one line each."""
    empty: Conditions | None = None
    """Those of the empty caption, where they are asked for; the dense condition is kept."""

    def to(self, device: torch.device) -> "Batch":
        """Return the same batch on `device`."""
        noises, empty = tuple(noise.to(device) for noise in self.noises), self.empty and self.empty.to(device)
        given = (self.latents.to(device), noises, self.times.to(device), self.conditions.to(device))
        return Batch(*given, empty=empty)

    def split(self, count: int) -> list["Batch"]:
        """Return the batch as `count` micro-batches in order, of equal size where `count` divides its samples."""
        noises = zip(*(draw.chunk(count) for draw in self.noises), strict=True)
        given = (self.latents.chunk(count), noises, self.times.chunk(count), self.conditions.split(count))
        parts = [Batch(*part) for part in zip(*given, strict=True)]
        empties = [None] * len(parts) if self.empty is None else self.empty.split(count)
        return [replace(part, empty=empty) for part, empty in zip(parts, empties, strict=True)]


class ClipReader:
    """Clips by key, straight from their data files; the latest used stay in memory."""

    def __init__(self, store: Store, keys: Sequence[str], geometry: Geometry, capacity: int = CACHED_CLIPS) -> None:
        """Look the clips' files up in the tables' logs, once. Raises EquivdmError where one is not in the table.

        `geometry` is the backbone's: latents of another one are refused when they are read.
        """
        self._store, self._geometry = store, geometry
        clips = finished_clips(store, keys)
        if missing := len(set(keys)) - len(clips):
            raise EquivdmError(f"clips: {missing} of {len(set(keys))} are not in {store.url}: run the job again")
        located = locate(store, clips, (*_COLUMNS, *COLUMNS))
        self._files = {clip["key"]: files for clip, files in zip(clips, located, strict=True)}
        self._rates = {clip["key"]: clip["fps"] for clip in clips}
        self._paths = {clip["key"]: clip["path"] for clip in clips}
        self.sizes: Mapping[str, Size] = {c["key"]: (c["frames"], c["height"], c["width"]) for c in clips}
        self._capacity, self._kept = capacity, OrderedDict[str, Clip]()
        self._refused: dict[str, BadClip] = {}

    def __call__(self, key: str) -> Clip:
        """Return a clip. Raises BadClip where it cannot be read, or does not fit the backbone."""
        if key in self._refused:  # to find damage can take seconds
            raise self._refused[key]
        if key not in self._kept:
            with self.blaming(key):
                self._kept[key] = self._read(key)
        self._kept.move_to_end(key)
        if len(self._kept) > self._capacity:
            self._kept.popitem(last=False)
        return self._kept[key]

    @contextmanager
    def blaming(self, key: str) -> Iterator[None]:
        """Raise BadClip, which names the clip, where its stored data cause the block to fail."""
        try:
            yield
        except StoreUnwell:
            # What is damaged looks like a store that is unwell, until its bytes are compared with its name.
            changed = [f"{stage}/{name}" for stage, name in self._files[key].items() if self._changed(stage, name)]
            if not changed:
                raise
            raise self._refuse(key, f"bytes of {changed[0]} have changed since it was committed") from None
        except (FileNotFoundError, ValueError) as fault:
            raise self._refuse(key, " ".join(str(fault).split())[:200]) from fault

    def _changed(self, stage: str, name: str) -> bool:
        return hashlib.sha256(self._store.table(stage).read_file(name)).hexdigest() != sha256_of(name)

    def _refuse(self, key: str, why: str) -> BadClip:
        self._refused[key] = BadClip(f"clip {key[:12]} of {self._paths[key]} cannot be trained on: {why}")
        return self._refused[key]

    def _read(self, key: str) -> Clip:
        files = self._files[key]
        row = read_parts(self._store, files, (*_COLUMNS, *columns_of(files)))
        latents = from_tensor(row["latents"])
        if latents.shape != (wanted := self._geometry.latent_shape(*self.sizes[key])):
            raise ValueError(f"got latents {latents.shape} (channels, time, height, width), wanted {wanted}")
        return Clip(
            latents=latents.astype(np.float32),
            plan=row["plan"],
            shown=shown(row, self._rates[key]),
        )


def share(batch: int, rank: int, workers: int, accumulate: int = 1) -> range:
    """Return a worker's slots of a batch. Raises UsageError where it cannot be shared out, or cut in micro-batches."""
    if batch % workers:
        raise UsageError(
            f"fit.batch: got {batch} clips for {workers} workers, wanted a multiple of the workers: "
            "change fit.batch or fit.parallel.workers"
        )
    if batch // workers % accumulate:
        raise UsageError(
            f"fit.accumulate: got {accumulate} micro-batches for the {batch // workers} clips of a worker, "
            "wanted a divisor of them: change fit.accumulate, fit.batch or fit.parallel.workers"
        )
    size = batch // workers
    return range(rank * size, (rank + 1) * size)


Sample = tuple[torch.Tensor, list[torch.Tensor], torch.Tensor, torch.Tensor, Clip]
"""Latents, draws of noise, time, which conditions to keep, and the clip itself."""


class Loader:
    """Batches by number."""

    def __init__(
        self, config: SampleConfig, keys: Sequence[str], read: ClipReader, rank: int = 0, world: int = 1
    ) -> None:
        """Take the share `rank` of `world` of every batch. Raises UsageError where the batch cannot be shared out."""
        self._config, self._read = config, read
        self._slots = share(config.batch, rank, world)
        self._order = Order(config.seed, config.batch, {key: read.sizes[key] for key in keys})

    def batch(self, number: int, draws: Sequence[int] | None = None) -> Batch:
        """Return this worker's samples of batch `number`, counted from 0, with these draws of noise, or all.

        Raises BadClip where a clip cannot be read and none stands in for it.
        """
        drawn = range(self._config.draws) if draws is None else draws
        found = [self._readable(number, slot, drawn) for slot in self._slots]
        samples, replaced = zip(*found, strict=True)
        latents, noises, times, keep, clips = zip(*samples, strict=True)
        text, control = torch.stack(keep).unbind(1)
        shown = [clip.shown for clip in clips]
        return Batch(
            latents=torch.stack(latents),
            noises=tuple(torch.stack(draw) for draw in zip(*noises, strict=True)),
            times=torch.cat(times),
            conditions=conditions_of(shown, text.tolist(), control.tolist()),
            replaced=tuple(why for why in replaced if why),
            empty=conditions_of(shown, [False] * len(shown), control.tolist()) if self._config.empty else None,
        )

    def key(self, number: int, slot: int) -> str:
        """Return the clip in a slot of a batch, as `pipelines.order` has it."""
        return self._order.key(number, slot)

    def _readable(self, number: int, slot: int, draws: Sequence[int]) -> tuple[Sample, str]:
        """Return a slot's sample, and what is wrong with the clip that it should be of; nothing where it is."""
        try:
            return self._sample(number, slot, self.key(number, slot), draws), ""
        except BadClip as fault:
            if not self._config.replace_bad:
                raise BadClip(f"{fault}; repair or remove it, or set fit.on_bad_clip=skip") from fault
            why = str(fault)
        for key in self._order.stand_ins(number, slot):
            with suppress(BadClip):
                return self._sample(number, slot, key, draws), why
        raise BadClip(f"{why}; and no other clip of its size can be read: run the audit of the preprocess job")

    def _sample(self, number: int, slot: int, key: str, draws: Sequence[int]) -> Sample:
        config, clip = self._config, self._read(key)
        seeds = {draw: derive_seed(config.seed, "noise", number, slot, key, draw) for draw in draws}
        with self._read.blaming(key):
            noises = [
                torch.from_numpy(draw_noise(clip.plan, clip.latents.shape, config.kinds[draw], seed))
                for draw, seed in seeds.items()
            ]
        generator = torch.Generator().manual_seed(derive_seed(config.seed, "sample", number, slot, key))
        times = config.diffusion.draw_times(1, generator)
        keep = torch.rand(2, generator=generator) >= torch.tensor([config.text_dropout, config.control_dropout])
        return torch.from_numpy(clip.latents), noises, times, keep, clip


def prefetched(make: Callable[[int], T], first: int, last: int) -> Iterator[tuple[int, T]]:
    """Yield (step, make(step)) for first <= step < last; the next one is made in a thread meanwhile."""
    if first >= last:
        return
    with ThreadPoolExecutor(1, thread_name_prefix="loader") as pool:
        upcoming = pool.submit(make, first)
        for step in range(first, last):
            made = upcoming.result()
            if step + 1 < last:
                upcoming = pool.submit(make, step + 1)
            yield step, made
