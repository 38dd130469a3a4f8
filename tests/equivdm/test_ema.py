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
    ema = Ema(layer(values[0]).state_dict(), decay)
    expected = values[0]
    for step, value in enumerate(values[1:]):
        ema.update(layer(value).state_dict(), step)
        weight = warmed_decay(decay, step)
        expected = weight * expected + (1 - weight) * value
    torch.testing.assert_close(ema.state_dict()["weight"], torch.full((1, 2), expected))


def test_warm_up_forgets_the_start_and_ends_at_the_decay() -> None:
    assert warmed_decay(0.99, 0) == 0.1
    assert warmed_decay(0.99, 10**6) == 0.99
    decays = [warmed_decay(0.99, step) for step in range(2000)]
    assert decays == sorted(decays)


def test_a_constant_model_is_its_own_average() -> None:
    ema = Ema(layer(2.0).state_dict(), 0.9)
    for step in range(50):
        ema.update(layer(2.0).state_dict(), step)
    torch.testing.assert_close(ema.state_dict()["weight"], torch.full((1, 2), 2.0))


def test_saved_and_loaded_averages_go_on_bitwise_alike() -> None:
    first, second = Ema(layer(1.0).state_dict(), 0.9), Ema(layer(9.0).state_dict(), 0.9)
    first.update(layer(3.0).state_dict(), 0)
    second.load_state_dict({name: value.clone() for name, value in first.state_dict().items()})
    for ema in (first, second):
        ema.update(layer(5.0).state_dict(), 1)
    assert all(torch.equal(value, second.state_dict()[name]) for name, value in first.state_dict().items())


def test_average_is_float32_and_is_given_back_in_the_models_precision() -> None:
    model = layer(1.0).bfloat16()
    ema = Ema(model.state_dict(), 0.5)
    ema.update(layer(1.5).bfloat16().state_dict(), 100)
    assert ema.state_dict()["weight"].dtype == torch.float32
    ema.copy_to(model)
    assert model.state_dict()["weight"].dtype == torch.bfloat16
    torch.testing.assert_close(model.state_dict()["weight"].float(), torch.full((1, 2), 1.25))


def test_wrong_arguments_are_told() -> None:
    with pytest.raises(ValueError, match="decay"):
        Ema(layer(1.0).state_dict(), 1.0)
    with pytest.raises(ValueError, match="other weights"):
        Ema(layer(1.0).state_dict(), 0.9).load_state_dict({"weight": torch.zeros(1, 2)})


class Counting(nn.Module):
    """A module with a buffer of whole numbers, as batch norm has one."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((1,), float(count)))
        self.register_buffer("count", torch.tensor(count))


def test_whole_numbers_are_not_averaged() -> None:
    ema = Ema(Counting(1).state_dict(), 0.9)
    ema.update(Counting(8).state_dict(), 0)
    assert ema.state_dict()["count"].item() == 8
    assert ema.state_dict()["count"].dtype == torch.int64
    assert 1 < ema.state_dict()["weight"].item() < 8


def test_no_decay_keeps_the_last_weights() -> None:
    ema = Ema(layer(1.0).state_dict(), 0.0)
    ema.update(layer(7.0).state_dict(), 100)
    torch.testing.assert_close(ema.state_dict()["weight"], torch.full((1, 2), 7.0))


def test_training_on_does_not_change_the_average() -> None:
    model = layer(1.0)
    ema = Ema(model.state_dict(), 0.9)
    with torch.no_grad():
        model.weight += 5
    torch.testing.assert_close(ema.state_dict()["weight"], torch.ones(1, 2))
    assert not ema.state_dict()["weight"].requires_grad


@pytest.mark.parametrize("decay", [-0.1, 1.0, 1.5, float("nan")])
def test_a_decay_out_of_range_is_refused(decay: float) -> None:
    with pytest.raises(ValueError, match=rf"^got decay {decay}, wanted 0 <= decay < 1: 0 keeps the last weights$"):
        Ema(layer(1.0).state_dict(), decay)


def test_an_average_of_another_model_is_refused_by_the_names_that_differ() -> None:
    ema = Ema(layer(1.0).state_dict(), 0.9)
    with pytest.raises(ValueError, match=r"other weights than the model's \(bias, extra\): load its own"):
        ema.load_state_dict({"weight": torch.zeros(1, 2), "extra": torch.zeros(1)})
    torch.testing.assert_close(ema.state_dict()["weight"], torch.ones(1, 2))
