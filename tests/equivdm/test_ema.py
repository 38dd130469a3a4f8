"""Moving average: closed form, warm-up, and no loss on saving."""

import pytest
import torch
from torch import nn

from equivdm.ema import Ema, warmed_decay


def layer(value: float) -> nn.Module:
    module = nn.Linear(2, 1)
    for parameter in module.parameters():
        nn.init.constant_(parameter, value)
    return module


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.9, 0.999])
def test_closed_form(decay: float) -> None:
    """After n updates theta' = prod(d) theta_0 + sum_i (1 - d_i) prod_{j>i} d_j theta_i, with the warmed decays d_i."""
    values = [1.0, -2.0, 4.0, 0.5, 3.0, 8.0]
    ema = Ema(layer(values[0]), decay)
    expected = values[0]
    for step, value in enumerate(values[1:]):
        ema.update(layer(value), step)
        weight = warmed_decay(decay, step)
        expected = weight * expected + (1 - weight) * value
    torch.testing.assert_close(ema.state_dict()["weight"], torch.full((1, 2), expected))


def test_warm_up_forgets_the_start_and_ends_at_the_decay() -> None:
    assert warmed_decay(0.99, 0) == 0.1
    assert warmed_decay(0.99, 10**6) == 0.99
    decays = [warmed_decay(0.99, step) for step in range(2000)]
    assert decays == sorted(decays)


def test_a_constant_model_is_its_own_average() -> None:
    ema = Ema(layer(2.0), 0.9)
    for step in range(50):
        ema.update(layer(2.0), step)
    torch.testing.assert_close(ema.state_dict()["weight"], torch.full((1, 2), 2.0))


def test_saved_and_loaded_averages_go_on_bitwise_alike() -> None:
    first, second = Ema(layer(1.0), 0.9), Ema(layer(9.0), 0.9)
    first.update(layer(3.0), 0)
    second.load_state_dict({name: value.clone() for name, value in first.state_dict().items()})
    for ema in (first, second):
        ema.update(layer(5.0), 1)
    assert all(torch.equal(value, second.state_dict()[name]) for name, value in first.state_dict().items())


def test_average_is_float32_and_is_given_back_in_the_models_precision() -> None:
    model = layer(1.0).bfloat16()
    ema = Ema(model, 0.5)
    ema.update(layer(1.5).bfloat16(), 100)
    assert ema.state_dict()["weight"].dtype == torch.float32
    ema.copy_to(model)
    assert model.state_dict()["weight"].dtype == torch.bfloat16
    torch.testing.assert_close(model.state_dict()["weight"].float(), torch.full((1, 2), 1.25))


def test_wrong_arguments_are_told() -> None:
    with pytest.raises(ValueError, match="decay"):
        Ema(layer(1.0), 1.0)
    with pytest.raises(ValueError, match="other weights"):
        Ema(layer(1.0), 0.9).load_state_dict({"weight": torch.zeros(1, 2)})
