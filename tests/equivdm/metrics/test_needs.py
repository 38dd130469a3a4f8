"""What cannot be measured is left out with a line that says why, and never measured otherwise."""

import numpy as np
import pytest

from equivdm.errors import UsageError
from equivdm.metrics import METRICS, OF_MOTION, SET_METRICS, Case, available, chosen, left_out, measure
from equivdm.metrics.needs import PACKAGES
from equivdm.metrics_config import WeightsConfig

FRAMES = np.zeros((3, 16, 16, 3), np.uint8)


def test_all_metrics_are_chosen_where_none_is_named_and_names_come_in_the_order_of_a_report() -> None:
    assert chosen() == (*METRICS, *SET_METRICS)
    assert chosen(("epe", "cf_psnr")) == ("cf_psnr", "epe")


def test_a_name_that_is_no_metric_is_refused() -> None:
    with pytest.raises(
        UsageError, match=r"^metrics: got 'fidelity', wanted some of cf_psnr, cf_psnr_first, warp_error, "
    ):
        chosen(("epe", "fidelity"))


def test_a_case_without_motion_leaves_out_what_needs_it_with_the_reason() -> None:
    case = Case(FRAMES)
    lines = left_out(OF_MOTION, case.has)
    assert lines["epe"] == "epe: needs motion"
    rest = [name for name in OF_MOTION if name not in lines]
    assert rest == ["flicker", "sharpness", "contrast"]
    assert list(measure(case, rest)) == rest
    with pytest.raises(UsageError, match=r"^metrics: got a case in which epe: needs motion: give it, or leave"):
        measure(case, ["contrast", "epe"])


def test_every_need_is_one_that_a_case_or_its_weights_can_meet() -> None:
    everything = WeightsConfig.model_validate({name: "path" for name in WeightsConfig.model_fields})
    given = {"motion", "tracks", "reference", "caption", "sampling"}
    met = available(everything) | given | {f"package {name}" for name in PACKAGES}
    assert left_out(chosen(), met) == {}
    needed = {need for metric in (*METRICS.values(), *SET_METRICS.values()) for need in metric.needs}
    assert needed <= met


def test_a_case_has_what_it_was_given() -> None:
    plain, rich = Case(FRAMES), Case(FRAMES, reference=FRAMES, caption="a", weights=WeightsConfig(clip="folder"))
    assert rich.has - plain.has == {"reference", "caption", "weights.clip"}


def test_what_sampling_found_is_told_as_it_is() -> None:
    case = Case(FRAMES, sampling={"straightness": 0.25})
    assert measure(case, ["straightness"]) == {"straightness": 0.25}
    assert left_out(["straightness"], Case(FRAMES).has) == {"straightness": "straightness: needs sampling"}
    with pytest.raises(ValueError, match="noise_to_video_distance: got none, wanted what sampling found"):
        measure(case, ["noise_to_video_distance"])


def test_a_reference_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match=r"got \(3, 16, 16\) .*, wanted \(2, 16, 16\): measure a video against a ref"):
        Case(FRAMES, reference=FRAMES[:2])
