"""Plots as SVG that a browser can read, in the page's own colours, the same bytes at every call."""

import re
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from pipelines.models import Figure, ModelRecord
from pipelines.report.plots import loss_curves, stage_bars
from tests.pipelines.test_material import HISTORY, model


def trained(*more: Figure) -> ModelRecord:
    return replace(model("equivdm"), history=(*HISTORY, *more))


def texts(svg: str) -> list[str]:
    """What a reader sees in words."""
    return [str(element.text) for element in ElementTree.fromstring(svg).iter() if element.tag.endswith("text")]


def test_a_curve_is_drawn_in_its_methods_colour_and_the_palette_begins_again_after_six() -> None:
    assert "var(--series-2)" in loss_curves(trained(), 2)
    assert loss_curves(trained(), 8) == loss_curves(trained(), 2)
    assert "var(--series-" not in loss_curves(trained(), None)


@pytest.mark.parametrize("colour", [None, 0, 5])
def test_no_colour_but_the_pages_own_is_left(colour: int | None) -> None:
    svg = loss_curves(trained(Figure(10, "fake_loss", 0.5)), colour)
    assert set(re.findall(r"#[0-9a-f]{6}\b", svg)) <= {"#000000"}
    assert "font-family" not in svg


def test_a_plot_says_what_it_is_and_names_its_lines() -> None:
    svg = loss_curves(trained(Figure(10, "fake_loss", 0.5), Figure(20, "fake_loss", 0.4)), 1)
    assert {"step", "loss", "fake_loss"} <= set(texts(svg))
    assert "Losses of equivdm" in svg
    assert "loss" not in texts(loss_curves(trained(), 1))  # one line needs no legend


def test_rates_and_norms_are_no_losses() -> None:
    assert loss_curves(trained(Figure(10, "gradient_norm", 3.0), Figure(10, "lr", 1e-3)), 1) == loss_curves(
        trained(), 1
    )


def test_positive_losses_are_drawn_over_their_order_of_magnitude() -> None:
    assert {"0.02", "0.05", "0.1"} <= set(texts(loss_curves(trained(), 0)))
    assert "0.04" not in texts(loss_curves(trained(), 0))


@pytest.mark.parametrize("value", [0.0, -0.1])
def test_losses_that_a_logarithm_cannot_show_are_drawn_as_they_are(value: float) -> None:
    assert "0.00" in texts(loss_curves(trained(Figure(60, "loss", value)), 0))


def test_a_single_report_is_a_point() -> None:
    one = replace(trained(), history=HISTORY[:1])
    assert ElementTree.fromstring(loss_curves(one, 0)).tag.endswith("svg")


def test_the_same_figures_are_the_same_bytes() -> None:
    assert loss_curves(trained(), 0) == loss_curves(trained(), 0)
    assert stage_bars({"train": 2.0}) == stage_bars({"train": 2.0})


def test_bars_name_every_stage_with_its_seconds() -> None:
    svg = stage_bars({"preprocess": 1.25, "train equivdm": 60.0, "evaluate": 0.0})
    assert {"preprocess", "train equivdm", "evaluate"} <= set(texts(svg))
    assert {text.strip() for text in texts(svg)} >= {"1.2 s", "60.0 s", "0.0 s"}


def test_a_plot_fits_into_any_page() -> None:
    svg = stage_bars({"train": 2.0})
    assert svg.startswith("<svg")
    assert not {"width", "height"} & set(ElementTree.fromstring(svg).attrib)
