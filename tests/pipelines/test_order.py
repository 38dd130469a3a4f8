"""The order of clips: laws that hold for any sizes, batches and seeds."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from equivdm.seeds import derive_seed
from pipelines.order import Order

Sizes = dict[str, tuple[int, int, int]]


def clips(counts: list[int]) -> Sizes:
    """As many clips of each size as said."""
    return {f"{bucket}-{number}": (4, 16, 16 + bucket) for bucket, n in enumerate(counts) for number in range(n)}


COUNTS = st.lists(st.integers(1, 12), min_size=1, max_size=4)

CASES = given(st.integers(0, 2**31), st.integers(1, 9), COUNTS, st.integers(1, 60))


def drawn(order: Order, batch: int, count: int) -> list[list[str]]:
    """The first batches."""
    return [[order.key(number, slot) for slot in range(batch)] for number in range(count)]


@settings(max_examples=60)
@CASES
def test_a_batch_holds_one_size_and_depends_on_its_number_alone(
    seed: int, batch: int, counts: list[int], number: int
) -> None:
    sizes = clips(counts)
    order, again = (Order(seed, batch, given) for given in (sizes, dict(reversed(sizes.items()))))
    batches = drawn(order, batch, number)
    assert all(len({sizes[key] for key in keys}) == 1 for keys in batches)
    assert drawn(again, batch, number)[::-1] == [
        [again.key(each, slot) for slot in range(batch)] for each in reversed(range(number))
    ]
    assert drawn(again, batch, number) == batches


@settings(max_examples=60)
@CASES
def test_every_clip_comes_once_a_pass_and_buckets_keep_step(
    seed: int, batch: int, counts: list[int], epochs: int
) -> None:
    epochs = epochs % 6 + 1
    sizes = clips(counts)
    batches = sum(epochs * count // batch for count in counts)
    order = Order(seed, batch, sizes)
    seen = Counter(key for keys in drawn(order, batch, batches) for key in keys)
    for bucket, count in enumerate(counts):
        times = [seen[f"{bucket}-{number}"] for number in range(count)]
        assert max(times) - min(times) <= 1  # each once a pass, and a pass begins when the last one is through
        assert sum(times) == epochs * count // batch * batch  # after an epoch all buckets are at its end, to a batch


@settings(max_examples=40)
@given(st.integers(0, 2**31), st.integers(1, 9), st.integers(1, 12), st.integers(0, 30))
def test_clips_of_one_size_come_in_the_order_of_one_shuffled_row(
    seed: int, batch: int, count: int, number: int
) -> None:
    # As it was before there were buckets: what was trained on stays reproducible.
    keys = sorted(clips([count]))
    for slot in range(batch):
        epoch, place = divmod(number * batch + slot, count)
        row = sorted(keys, key=lambda key: derive_seed(seed, "order", epoch, key))
        assert Order(seed, batch, clips([count])).key(number, slot) == row[place]


@settings(max_examples=40)
@CASES
def test_all_other_clips_of_the_size_can_stand_in(seed: int, batch: int, counts: list[int], number: int) -> None:
    sizes = clips(counts)
    order = Order(seed, batch, sizes)
    key, stand_ins = order.key(number, batch - 1), list(order.stand_ins(number, batch - 1))
    assert sorted([key, *stand_ins]) == sorted(other for other in sizes if sizes[other] == sizes[key])
    assert stand_ins == list(Order(seed, batch, sizes).stand_ins(number, batch - 1))


@pytest.mark.parametrize("batch", [1, 4])
def test_passes_and_mixtures_differ_from_each_other(batch: int) -> None:
    order = Order(0, batch, clips([8, 8]))
    batches = drawn(order, batch, 32 // batch)
    assert batches[: 16 // batch] != batches[16 // batch :]
    firsts = [keys[0][0] for keys in batches]
    assert firsts != sorted(firsts)
