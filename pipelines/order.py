"""Which clip has which place in the training data: a pure function of the seed and the place, and of nothing else."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import lru_cache

from equivdm.seeds import derive_seed

Size = tuple[int, int, int]
"""Frames, height and width of a clip."""


class Order:
    """Batches by number, each of clips of one size, which are a bucket.

    A bucket goes through its clips again and again, each pass in an order of its own, and is cut into batches: what is
    left of a pass begins a batch that the next pass fills. So every clip comes once a pass, and none is left out.
    Epoch e, of all clips, has floor((e + 1) n / B) - floor(e n / B) batches of B from a bucket of n clips, mixed:
    buckets stay in step with each other, to within a batch.
    """

    def __init__(self, seed: int, batch: int, sizes: Mapping[str, Size]) -> None:
        """Take the clips' keys and sizes, in whatever order. `batch` is the clips of a batch."""
        buckets: dict[Size, list[str]] = defaultdict(list)
        for key in sorted(sizes):
            buckets[sizes[key]].append(key)
        self._seed, self._batch = seed, batch
        self._buckets = [buckets[size] for size in sorted(buckets)]
        self._batches_of = lru_cache(maxsize=2)(self._epoch)
        # A batch may reach over the end of a pass.
        self._pass_of = lru_cache(maxsize=2 * len(self._buckets))(self._shuffled)

    def key(self, number: int, slot: int) -> str:
        """Return the clip in a slot of batch `number`; both are counted from 0."""
        bucket, turn, place = self._place(number, slot)
        return self._pass_of(bucket, turn)[place]

    def stand_ins(self, number: int, slot: int) -> Iterator[str]:
        """Yield the other clips that could be in that slot, all of its bucket, in the order in which to try them."""
        bucket, turn, place = self._place(number, slot)
        clips = self._pass_of(bucket, turn)
        others = clips[place + 1 :] + clips[:place]
        start = derive_seed(self._seed, "stand-in", turn, clips[place]) % max(1, len(others))
        yield from others[start:] + others[:start]

    def _place(self, number: int, slot: int) -> tuple[int, int, int]:
        """Return bucket, pass over the bucket, and place in the pass."""
        # An epoch has at least as many batches as the clips fill, less one for each bucket.
        last = (number + len(self._buckets) + 1) * self._batch // sum(map(len, self._buckets)) + 1
        epoch = bisect_right(range(last + 1), number, key=self._before) - 1
        bucket, index = self._batches_of(epoch)[number - self._before(epoch)]
        return bucket, *divmod(index * self._batch + slot, len(self._buckets[bucket]))

    def _before(self, epoch: int) -> int:
        """Return how many batches come before an epoch."""
        return sum(epoch * len(clips) // self._batch for clips in self._buckets)

    def _epoch(self, epoch: int) -> list[tuple[int, int]]:
        """Return the batches of an epoch: bucket, and number among those of the bucket."""
        following = [epoch * len(clips) // self._batch for clips in self._buckets]
        ends = [(epoch + 1) * len(clips) // self._batch for clips in self._buckets]
        buckets = [bucket for bucket, end in enumerate(ends) for _ in range(following[bucket], end)]
        mixed = sorted(range(len(buckets)), key=lambda place: derive_seed(self._seed, "buckets", epoch, place))
        batches = []
        for bucket in (buckets[place] for place in mixed):
            batches.append((bucket, following[bucket]))
            following[bucket] += 1
        return batches

    def _shuffled(self, bucket: int, turn: int) -> list[str]:
        return sorted(self._buckets[bucket], key=lambda key: derive_seed(self._seed, "order", turn, key))
