"""Kinds of backbones: all are known, and what names their parts stays as it was."""

import hashlib
import json
from pathlib import Path
from typing import get_args

import pytest

from equivdm.backbones import backbone_of
from equivdm.backbones.backbone import Backbone
from equivdm.config import BackboneConfig, LoraConfig, TinyConfig, VideoCrafter2Config, WanConfig

KINDS: tuple[type[TinyConfig | WanConfig | VideoCrafter2Config], ...] = get_args(get_args(BackboneConfig)[0])


@pytest.mark.parametrize("config", KINDS)
def test_every_config_has_its_backbone(config: type[TinyConfig | WanConfig | VideoCrafter2Config]) -> None:
    given = config.model_construct()
    backbone = backbone_of(given)
    assert backbone.kind == given.kind
    assert not [name for name in Backbone.__annotations__ if not hasattr(backbone, name)]
    assert backbone.targets(lora := LoraConfig()) == backbone.lora_targets
    assert backbone.targets(lora.model_copy(update={"targets": ("one",)})) == ("one",)


def written(folder: Path, *names: str) -> None:
    """Files that hold their names, which is no model but has a digest."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f'{{"name": "{name}"}}')


@pytest.fixture
def configs(tmp_path: Path) -> dict[str, BackboneConfig]:
    """One of each kind."""
    parts = ("transformer", "vae", "text_encoder", "tokenizer")
    written(tmp_path, "model.ckpt", "vocab.json", "merges.txt", *(f"{part}/config.json" for part in parts))
    return {
        "tiny": TinyConfig(width=48),
        "wan": WanConfig(model=str(tmp_path), words=226),
        "videocrafter2": VideoCrafter2Config(weights=str(tmp_path / "model.ckpt"), tokenizer=str(tmp_path)),
    }


@pytest.mark.parametrize(
    ("kind", "wanted"),
    [
        ("tiny", ["544700fd91982efa", "544700fd91982efa", "8e856247dc1f63eb"]),
        ("wan", ["481cb8dae000f936", "48afbc155158ad21", "b6b98f6a7cb98712"]),
        ("videocrafter2", ["aca69887674c01ee", "7174253789581af3", "a9ca0204e36d1790"]),
    ],
)
def test_identities_are_those_that_stored_rows_have(
    configs: dict[str, BackboneConfig], kind: str, wanted: list[str]
) -> None:
    """Of codec, text encoder and network. Another one computes all latents again, or trains again."""
    backbone = backbone_of(configs[kind])
    found = (backbone.codec_identity(), backbone.text_identity(), backbone.network_identity())
    assert [hashlib.sha256(json.dumps(one, sort_keys=True).encode()).hexdigest()[:16] for one in found] == wanted


def test_a_network_that_takes_colour_is_another_and_its_clips_are_the_same() -> None:
    grey, colour = backbone_of(TinyConfig()), backbone_of(TinyConfig(control_channels=3))
    assert (grey.takes_colour, colour.takes_colour) == (False, True)
    assert colour.network_identity() == grey.network_identity() | {"control_channels": 3}
    assert (colour.codec_identity(), colour.text_identity()) == (grey.codec_identity(), grey.text_identity())
