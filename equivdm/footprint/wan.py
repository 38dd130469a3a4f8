"""Wan 2.1's transformers, text to video and VACE, as diffusers has them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from equivdm.errors import UsageError
from equivdm.footprint.base import ATTENTION, Linear, Micro, seen_blocks

_CELLS, _CONTROL_CELLS = 16 * 4, 96 * 4
"""Values of a token: latents, and VACE's control, of 2 x 2 cells."""

_SMALL = {"width": 12 * 128, "heads": 12, "hidden": 8960, "layers": 30}
_LARGE = {"width": 40 * 128, "heads": 40, "hidden": 13824, "layers": 40}

_PUBLISHED: dict[str, dict[str, int]] = {
    "wan-ai/wan2.1-t2v-1.3b-diffusers": _SMALL,
    "wan-ai/wan2.1-t2v-14b-diffusers": _LARGE,
    "wan-ai/wan2.1-vace-1.3b-diffusers": _SMALL | {"control_layers": 15},
    "wan-ai/wan2.1-vace-14b-diffusers": _LARGE | {"control_layers": 8},
}
"""By name of the hub, in small letters."""


@dataclass(frozen=True)
class WanFootprint:
    """Sizes of a transformer, and of the prompts that it sees."""

    width: int
    heads: int
    hidden: int
    """Of the MLPs."""
    layers: int
    control_layers: int = 0
    """VACE's blocks."""
    text_width: int = 4096
    time_width: int = 256
    """Waves of the time embedding."""
    words: int = 512

    @classmethod
    def of_model(cls, model: str, words: int) -> "WanFootprint":
        """Read a local folder of diffusers, or look up a name of the hub. Nothing is downloaded.

        Raises UsageError where it is neither.
        """
        file = Path(model) / "transformer" / "config.json"
        if file.is_file():
            return cls.of_settings(json.loads(file.read_text()), words)
        if sizes := _PUBLISHED.get(model.lower()):
            return cls(**sizes, words=words)
        raise UsageError(
            f"model: got {model}, whose sizes are not known here, wanted a folder with transformer/config.json, or a "
            "name of Wan 2.1 on the hub: download it first"
        )

    @classmethod
    def of_settings(cls, settings: dict[str, Any], words: int) -> "WanFootprint":
        """Take what diffusers writes as config.json."""
        return cls(
            width=settings["num_attention_heads"] * settings["attention_head_dim"],
            heads=settings["num_attention_heads"],
            hidden=settings["ffn_dim"],
            layers=settings["num_layers"],
            control_layers=len(settings.get("vace_layers", ())),
            text_width=settings["text_dim"],
            time_width=settings["freq_dim"],
            words=words,
        )

    @property
    def parameters(self) -> int:
        """Number of weights."""
        d, f = self.width, self.hidden
        block = 8 * d * d + 21 * d + 2 * d * f + f
        ends = (_CELLS + 1) * d + (self.time_width + d + 2) * d + 6 * (d + 1) * d  # patches, time
        ends += (self.text_width + d + 2) * d + _CELLS * (d + 1) + 2 * d  # text, out
        control = (_CONTROL_CELLS + 1) * d + (self.control_layers + 1) * (d + 1) * d if self.control_layers else 0
        return (self.layers + self.control_layers) * block + ends + control

    @property
    def largest(self) -> int:
        """Of an MLP, of the time's projection, or of the text's."""
        return self.width * max(self.hidden, 6 * self.width, self.text_width)

    @property
    def linears(self) -> Sequence[Linear]:
        """The attention projections: each block attends to the video and to the text."""
        count = 2 * (self.layers + self.control_layers)
        return [Linear(name, self.width, self.width, count) for name in ATTENTION]

    @property
    def features(self) -> Sequence[int]:
        """Of blocks."""
        return [self.width for _ in seen_blocks(self.layers)]

    def kept(self, micro: Micro, *, mixed: bool, recompute: bool) -> float:
        """See `Footprint`."""
        d, tokens, words = self.width, micro.cells / 4, self.words * micro.clips
        unit, blocks = (2 if mixed else 4), self.layers + self.control_layers
        block, ends = self._block(micro, mixed), unit * 3 * words * d + unit * words * self.text_width
        ends += tokens * ((10 if mixed else 12) * d + 8 * d / self.heads / micro.clips + unit * _CELLS + 8)
        if mixed:
            ends += 16 * d * d + 4 * _CELLS * d
        if self.control_layers:
            ends += unit * tokens * _CONTROL_CELLS + (2 * d * _CONTROL_CELLS if mixed else 0)
        if recompute:
            return ends + blocks * unit * tokens * d + block
        extra = self.control_layers * (2 * tokens * d + 2 * d * d) if mixed else 8 * tokens * d
        return ends + blocks * block + (extra if self.control_layers else 0)

    def _block(self, micro: Micro, mixed: bool) -> float:
        d, f, tokens, words = self.width, self.hidden, micro.cells / 4, self.words * micro.clips
        common = tokens * (8 * self.heads + 36) + 4 * words + 32 * micro.clips * d
        if mixed:
            return common + tokens * (68 * d + 4 * f) + 12 * words * d + 16 * d * d + 4 * d * f
        return common + tokens * (88 * d + 8 * f) + 16 * words * d

    def flops(self, micro: Micro) -> float:
        """See `Footprint`."""
        d, tokens, words = self.width, micro.cells / 4, self.words * micro.clips
        attention = 4 * tokens * (tokens / micro.clips + self.words) * d
        block = 2 * (tokens * (6 * d * d + 2 * d * self.hidden) + words * 2 * d * d) + attention
        ends = 2 * tokens * 2 * _CELLS * d + 2 * words * (self.text_width + d) * d
        control = 2 * tokens * (_CONTROL_CELLS + (self.control_layers + 1) * d) * d if self.control_layers else 0
        return (self.layers + self.control_layers) * block + ends + control
