"""Settings: closed, frozen, described, and the same after a trip through JSON."""

import pytest
from pydantic import ValidationError

from equivdm import config as settings
from equivdm.config import (
    Bucket,
    ClipConfig,
    Config,
    ControlConfig,
    DecodeConfig,
    FlowConfig,
    NoiseConfig,
    OcclusionConfig,
    PlanConfig,
    SamplerConfig,
    ShotsConfig,
    TinyConfig,
    VideoCrafter2Config,
    WanConfig,
)

MODELS = [
    each
    for each in vars(settings).values()
    if isinstance(each, type) and issubclass(each, Config) and each is not Config
]

REQUIRED: dict[type[Config], dict[str, object]] = {
    Bucket: {"height": 64, "width": 96, "frames": 16},
    VideoCrafter2Config: {"weights": "model.ckpt", "tokenizer": "clip"},
    WanConfig: {"model": "OWNER/NAME"},
}
"""What a model cannot do without."""


@pytest.mark.parametrize("model", MODELS)
def test_every_setting_is_described(model: type[Config]) -> None:
    assert [name for name, info in model.model_fields.items() if not (info.description or "").strip()] == []


@pytest.mark.parametrize("model", MODELS)
def test_a_setting_that_does_not_exist_is_refused(model: type[Config]) -> None:
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        model.model_validate({"no_such_setting": 1})


@pytest.mark.parametrize("model", MODELS)
def test_settings_do_not_change_under_a_run_and_survive_json(model: type[Config]) -> None:
    config = model.model_validate(REQUIRED.get(model, {}))
    name = next(iter(model.model_fields))
    with pytest.raises(ValidationError, match="frozen"):
        setattr(config, name, getattr(config, name))
    again = model.model_validate_json(config.model_dump_json())
    assert again == config
    assert hash(again) == hash(config)


@pytest.mark.parametrize(
    ("model", "field", "allowed", "refused"),
    [
        (ClipConfig, "frames", [2], [1, 0]),
        (ClipConfig, "height", [16], [15]),
        (ClipConfig, "width", [16], [15]),
        (ClipConfig, "stride", [None, 1], [0]),
        (ClipConfig, "fps", [None, 0.5], [0, -1]),
        (ClipConfig, "max_windows", [None, 1], [0]),
        (ShotsConfig, "kind", ["none", "cuts", "cuts_and_fades"], ["adaptive"]),
        (ShotsConfig, "cut_ratio", [1.1], [1.0]),
        (ShotsConfig, "fade_change", [0.1], [0]),
        (ShotsConfig, "shortest", [1], [0]),
        (DecodeConfig, "memory_mib", [256], [255]),
        (DecodeConfig, "timeout_s", [0.1], [0]),
        (FlowConfig, "preset", ["ultrafast"], ["slow"]),
        (FlowConfig, "updates", [1], [0]),
        (OcclusionConfig, "absolute", [0], [-0.1]),
        (NoiseConfig, "beta", [0, 1], [-0.01, 1.01, float("nan")]),
        (NoiseConfig, "kind", ["independent"], ["pink"]),
        (PlanConfig, "per_cell", [1, 16], [0, 17]),
        (SamplerConfig, "steps", [1], [0]),
        (SamplerConfig, "kind", ["ddim", "heun", "unipc"], ["ddpm"]),
        (SamplerConfig, "shift", [0.5, 5], [0, -1]),
        (SamplerConfig, "guidance", [0, 12], [-0.1]),
        (TinyConfig, "heads", [2, 6], [3, 0]),
        (TinyConfig, "patch", [2], [3]),
    ],
)
def test_ends_of_a_range_are_in_and_what_is_beyond_is_not(
    model: type[Config], field: str, allowed: list[object], refused: list[object]
) -> None:
    for value in allowed:
        assert getattr(model.model_validate({field: value}), field) == value
    for value in refused:
        with pytest.raises(ValidationError, match=field):
            model.model_validate({field: value})


def test_a_width_that_the_heads_do_not_share_is_refused_with_a_way_out() -> None:
    assert TinyConfig(width=48, heads=6).width == 48
    with pytest.raises(ValidationError, match=r"width 40 is no multiple of twice the heads \(6\): choose one that is"):
        TinyConfig(width=40, heads=6)


def test_a_patch_that_cuts_the_cells_of_the_last_level_is_refused() -> None:
    assert TinyConfig(patch=12, levels=3, channels=5).level_channels == (5, 10, 20)
    with pytest.raises(ValidationError, match=r"patch: got 6 with 3 levels, wanted a multiple of 4, .*: change patch"):
        TinyConfig(patch=6, levels=3)


def test_buckets_are_all_different_and_stand_for_the_one_size() -> None:
    wide, tall = Bucket(height=64, width=96, frames=16), Bucket(height=96, width=64, frames=16)
    assert ClipConfig(height=32, width=48, frames=4).choices == (Bucket(height=32, width=48, frames=4),)
    assert ClipConfig(height=32, buckets=(wide, tall)).choices == (wide, tall)
    with pytest.raises(ValidationError, match="height 64, width 96, frames 16 twice: leave one of the two out"):
        ClipConfig(buckets=(wide, tall, wide))
    with pytest.raises(ValidationError, match="Field required"):
        ClipConfig.model_validate({"buckets": [{"height": 64, "width": 96}]})


@pytest.mark.parametrize(
    ("model", "wrong"),
    [
        (FlowConfig, {"kind": "raft"}),
        (FlowConfig, {"weights": "raft.pth"}),
        (ControlConfig, {"kind": "depth"}),
        (ControlConfig, {"kind": "grey", "model": "depth.pt"}),
    ],
)
def test_a_network_has_its_weights_and_nothing_else_has(model: type[Config], wrong: dict[str, str]) -> None:
    with pytest.raises(ValidationError, match=r"(raft|depth) needs a path, the others none"):
        model.model_validate(wrong)
    model.model_validate({"kind": "raft", "weights": "w"} if model is FlowConfig else {"kind": "depth", "model": "m"})
