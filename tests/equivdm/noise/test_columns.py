"""Columns of whole numbers as bytes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from equivdm.noise.columns import pack, unpack


@settings(max_examples=60, derandomize=True)
@given(st.lists(arrays(np.int32, st.integers(0, 50)), max_size=5))
def test_any_columns_come_back(columns: list[np.ndarray]) -> None:
    again = unpack(pack(columns, 3), 3)
    assert [column.tolist() for column in again] == [column.tolist() for column in columns]


def test_small_numbers_take_a_byte_each_and_are_packed_further() -> None:
    small = np.random.default_rng(0).integers(-100, 100, 10_000).astype(np.int32)
    assert len(pack([small], 1)) < 10_100
    assert len(pack([np.zeros(10_000, np.int32)], 1)) < 100


def test_another_version_is_refused() -> None:
    with pytest.raises(ValueError, match=r"got format \[1\], wanted 2; make the plan again"):
        unpack(pack([np.arange(3, dtype=np.int32)], 1), 2)
