"""Wan 2.1's transformers as denoisers: text to video, and VACE with its control."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import pad

from equivdm.backbones.base import Conditions, DenoiserModule, Features
from equivdm.backbones.wan.backbone import GEOMETRY, PATCH
from equivdm.backbones.wan.shapes import CONTROL_CHANNELS, WORDS, TextEmbeddings, VaceControl
from equivdm.footprint import seen_blocks
from equivdm.types import Latents, Times

TIME_SCALE = 1000.0
"""The network's time is 0 to 1000."""

NETWORK = "network."
"""What its weights' names begin with here."""

Scale = float | Float[Tensor, " layers"]
"""Strength of VACE's control: one number, or one for each of its layers."""


class WanDenoiser(DenoiserModule):
    """Predicts the velocity eps - x0 of x_t = (1 - t) x0 + t eps, which is what Wan is trained on.

    `network` is diffusers' own module, with its gradient checkpointing and attention backends.
    """

    def __init__(self, network: nn.Module, words: int = WORDS) -> None:
        """Take a `diffusers.WanTransformer3DModel`, or a `WanVACETransformer3DModel`, and the tokens of a prompt.

        Raises ValueError for one of another kind, such as image to video.
        """
        super().__init__()
        _check_network(network.config)
        self.network: Any = network
        self.words = words

    @property
    def recompute(self) -> bool:
        """Whether the backward pass computes each block's activations again: diffusers' gradient checkpointing."""
        return bool(self.network.is_gradient_checkpointing)

    @recompute.setter
    def recompute(self, wanted: bool) -> None:
        if wanted:
            self.network.enable_gradient_checkpointing()
        else:
            self.network.disable_gradient_checkpointing()

    @property
    def layers(self) -> int:
        """Number of layers that take VACE's control; 0 for text to video."""
        return len(self.network.config.get("vace_layers", ()))

    @property
    def feature_layers(self) -> dict[str, int]:
        """Blocks of the main branch; those of VACE's control are in what they say."""
        config = self.network.config
        width = config.num_attention_heads * config.attention_head_dim
        return {f"{NETWORK}blocks.{number}": width for number in seen_blocks(config.num_layers)}

    def as_features(self, output: Tensor, batch: int) -> Features:
        """Return a block's tokens, which are features as they are."""
        del batch
        return output

    def forward(self, latents: Latents, times: Times, conditions: Conditions) -> Latents:
        """Return the velocity at x_t = `latents`, t = `times`, in the precision of `latents`.

        Text may end where the longest prompt of the batch does. VACE's control is the 32 planes of inactive and
        reactive latents, and everything is to be generated; text to video looks at none.

        Raises ValueError as `velocity` does, and for a prompt of more than `words` tokens.
        """
        text, control = conditions.text, conditions.control if self.layers else None
        if (missing := self.words - text.shape[1]) < 0:
            raise ValueError(f"got a prompt of {text.shape[1]} tokens, wanted at most {self.words}: encode it again")
        if control is not None:
            everywhere = control.new_ones(control.shape[0], GEOMETRY.space_stride**2, *control.shape[2:])
            control = torch.cat([control, everywhere], 1)
        return self.velocity(latents, times, pad(text, (0, 0, 0, missing)), control)

    def velocity(
        self,
        latents: Latents,
        times: Times,
        text: TextEmbeddings,
        control: VaceControl | None = None,
        control_scale: Scale = 1.0,
    ) -> Latents:
        """Return the velocity at x_t = `latents`, t = `times`, in the precision of `latents`.

        Args:
            latents: 16 channels, height and width multiples of 2.
            times: 0 (data) to 1 (noise).
            text: of `equivdm.backbones.wan.text.WanText`.
            control: of `equivdm.backbones.wan.control.vace_control`; VACE needs it, text to video takes none.
            control_scale: strength of the control; 0 is none.

        Raises:
            ValueError: where sizes do not fit, or the control is missing or of no use.
        """
        self._check(latents, text, control)
        dtype = self.network.dtype
        shown = {}
        if control is not None:
            scales = self._scales(control_scale).to(latents.device, dtype)
            shown = {"control_hidden_states": control.to(dtype), "control_hidden_states_scale": scales}
        # In 16 bits the times would be rounded by up to 4 of 1000: the network casts what it makes of them.
        (velocity,) = self.network(
            hidden_states=latents.to(dtype),
            timestep=TIME_SCALE * times.float(),
            encoder_hidden_states=text.to(dtype),
            return_dict=False,
            **shown,
        )
        return velocity.to(latents.dtype)

    def save(self, folder: str | Path) -> None:
        """Write configuration and weights to `folder`/transformer, as diffusers reads them."""
        self.network.save_pretrained(Path(folder) / "transformer")

    @property
    def body(self) -> nn.Module:
        """Diffusers' module: what its own loaders, and peft's, take."""
        return self.network

    def export(self, folder: Path, state: Mapping[str, Tensor]) -> None:
        """Write `state`, weights under the names of `state_dict`, to `folder`/transformer, as diffusers reads them."""
        with torch.device("meta"):
            network: Any = type(self.network).from_config(self.network.config)
        own = {name.removeprefix(NETWORK): value.detach().cpu() for name, value in state.items()}
        network.load_state_dict(own, assign=True)
        network.save_pretrained(folder / "transformer")

    def _scales(self, scale: Scale) -> Float[Tensor, " layers"]:
        scales = scale if isinstance(scale, Tensor) else torch.full((self.layers,), float(scale))
        if len(scales) != self.layers:
            raise ValueError(
                f"control_scale: got {len(scales)} numbers, wanted {self.layers}: give one a layer, or one for all"
            )
        return scales

    def _check(self, latents: Latents, text: TextEmbeddings, control: VaceControl | None) -> None:
        batch, channels, *grid = latents.shape
        if channels != GEOMETRY.channels:
            raise ValueError(f"got latents of {channels} channels, wanted {GEOMETRY.channels}: encode with Wan's codec")
        GEOMETRY.check_patch(grid[1], grid[2], PATCH)
        features = self.network.config.text_dim
        if text.shape[2] != features:
            raise ValueError(
                f"got text embeddings of {text.shape[2]} features, wanted {features}: take the model's own text encoder"
            )
        if (control is None) == (self.layers > 0):
            kind, wanted = ("VACE", "a control") if self.layers else ("text to video", "none")
            raise ValueError(
                f"got control={'none' if control is None else 'given'}, wanted {wanted} for {kind}: change it"
            )
        shape = (batch, CONTROL_CHANNELS, *grid)
        if control is not None and control.shape != shape:
            raise ValueError(
                f"got a control of {tuple(control.shape)}, wanted {shape}: make it from a video of that size"
            )


def _check_network(config: Any) -> None:
    """Raise ValueError where a configuration of diffusers' Wan transformers is not that of Wan 2.1 T2V or VACE."""
    wanted: dict[str, Any] = {
        "in_channels": GEOMETRY.channels,
        "out_channels": GEOMETRY.channels,
        "patch_size": (1, PATCH, PATCH),
        "image_dim": None,
    }
    if "vace_layers" in config:
        wanted["vace_in_channels"] = CONTROL_CHANNELS
    for name, value in wanted.items():
        got = tuple(config[name]) if isinstance(config[name], list) else config[name]
        if got != value:
            raise ValueError(
                f"got a network with {name}={got}, wanted {value}: give Wan 2.1 text to video, or Wan 2.1 VACE"
            )
