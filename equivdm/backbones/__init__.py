"""Backbones by their config. Importing this package loads no torch."""

from equivdm.backbones.backbone import Backbone
from equivdm.backbones.tiny.backbone import TinyBackbone
from equivdm.backbones.videocrafter2.backbone import VideoCrafter2Backbone
from equivdm.backbones.wan.backbone import WanBackbone
from equivdm.config import BackboneConfig, TinyConfig, VideoCrafter2Config, WanConfig


def backbone_of(config: BackboneConfig) -> Backbone:
    """Return the backbone that a config names."""
    match config:
        case TinyConfig():
            return TinyBackbone(config)
        case WanConfig():
            return WanBackbone(config)
        case VideoCrafter2Config():
            return VideoCrafter2Backbone(config)
