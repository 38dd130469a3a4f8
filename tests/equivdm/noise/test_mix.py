"""The mix of two noises: its ends, its law, its types."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from equivdm.noise import independent_noise, mix

SHAPE = (2, 3, 20, 30)
ONE, OTHER = independent_noise(SHAPE, 1), independent_noise(SHAPE, 2)


def test_its_ends_are_the_two_noises() -> None:
    np.testing.assert_array_equal(mix(ONE, OTHER, 1.0), ONE)
    np.testing.assert_array_equal(mix(ONE, OTHER, 0.0), OTHER)


@settings(max_examples=30, derandomize=True)
@given(st.floats(0, 1))
def test_shares_lie_on_the_unit_circle(beta: float) -> None:
    """Variances add up to 1: what the first noise brings is beta, what the second brings is the rest."""
    first, second = (float(mix(*pair, beta)[0]) for pair in ((np.ones(1), np.zeros(1)), (np.zeros(1), np.ones(1))))
    assert first == beta
    assert first**2 + second**2 == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("beta", [0.3, 0.9])
def test_a_mix_is_unit_normal_and_keeps_its_share_of_the_first(beta: float) -> None:
    mixed = mix(ONE, OTHER, beta)
    error = 4.5 / np.sqrt(mixed.size)
    assert abs(np.mean(mixed**2) - 1) < 1.5 * error
    assert np.mean(mixed * ONE) == pytest.approx(beta, abs=error)
    assert np.mean(mixed * OTHER) == pytest.approx(np.sqrt(1 - beta**2), abs=error)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_a_mix_has_the_type_of_its_parts(dtype: torch.dtype) -> None:
    mixed = mix(torch.from_numpy(ONE).to(dtype), torch.from_numpy(OTHER).to(dtype), 0.6)
    assert mixed.dtype == dtype
    assert mix(ONE.astype(np.float16), OTHER.astype(np.float16), 0.6).dtype == np.float16
    torch.testing.assert_close(mixed.float(), torch.from_numpy(mix(ONE, OTHER, 0.6)), atol=0.03, rtol=0.03)


@pytest.mark.parametrize("beta", [-0.1, 1.1, float("nan"), float("inf")])
def test_a_share_out_of_range_is_refused(beta: float) -> None:
    with pytest.raises(ValueError, match=rf"^beta: got {beta}, wanted a number from 0 \(independent\) to 1"):
        mix(ONE, OTHER, beta)
