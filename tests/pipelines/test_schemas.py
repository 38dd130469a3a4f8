"""Tensors come back as they went in."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pipelines.schemas import from_tensor, to_tensor

DTYPES = st.sampled_from([np.float16, np.float32, np.uint8, np.int32, np.bool_])


@given(hnp.arrays(DTYPES, hnp.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=4)))
def test_a_tensor_comes_back_bit_for_bit(array: np.ndarray) -> None:
    back = from_tensor(to_tensor(array))
    assert back.dtype == array.dtype
    assert back.shape == array.shape
    assert back.tobytes() == array.tobytes()


def test_a_view_is_stored_in_c_order() -> None:
    array = np.arange(12, dtype=np.float32).reshape(3, 4).T
    np.testing.assert_array_equal(from_tensor(to_tensor(array)), array)


def test_bytes_that_do_not_fit_the_shape_are_refused() -> None:
    stored = to_tensor(np.zeros((2, 3), np.float16)) | {"shape": [2, 4]}
    with pytest.raises(ValueError, match="reshape"):
        from_tensor(stored)
