"""VideoCrafter2's UNet as a denoiser."""

from collections.abc import Mapping
from pathlib import Path

from einops import rearrange
from torch import Tensor

from equivdm.backbones.base import Conditions, DenoiserModule, Features, write_weights
from equivdm.networks.videocrafter2.checkpoint import UNET
from equivdm.networks.videocrafter2.process import as_timesteps
from equivdm.networks.videocrafter2.unet import UNet
from equivdm.types import Latents, Times

NETWORK = "network."
"""What its weights' names begin with here."""


class VideoCrafter2Denoiser(DenoiserModule):
    """Predicts the noise in x_t of VideoCrafter2's own process (`equivdm.process.VideoCrafter2Process`)."""

    def __init__(self, network: UNet) -> None:
        super().__init__()
        self.network = network
        self.train(network.training)

    @property
    def feature_layers(self) -> dict[str, int]:
        """The stage in the middle, as DMD2 has it of its UNet."""
        return {f"{NETWORK}middle_block": self.network.sizes.widths[-1]}

    def as_features(self, output: Tensor, batch: int) -> Features:
        """Return the maps of all frames as features."""
        return rearrange(output, "(b t) c h w -> b (t h w) c", b=batch)

    def forward(self, latents: Latents, times: Times, conditions: Conditions) -> Latents:
        """Return eps at x_t = `latents`, t = k / 1000 of the nearest level k, in the precision of `latents`.

        Raises ValueError where sizes do not fit, or there is a dense condition, which the network does not take.
        """
        if conditions.control is not None:
            raise ValueError("got a dense condition, wanted none: VideoCrafter2 takes text and frame rate only")
        self.network.checkpointing = self.recompute
        return self.network(latents, as_timesteps(times), conditions.text, conditions.fps)

    def train(self, mode: bool = True) -> "VideoCrafter2Denoiser":
        """Set the mode, but for the network's dropout: its random draws would depend on how a run came to a step."""
        super().train(mode)
        self.network.eval()
        return self

    @property
    def body(self) -> UNet:
        """The UNet alone, under the public names."""
        return self.network

    def export(self, folder: Path, state: Mapping[str, Tensor]) -> None:
        """Write `state` under the public checkpoint's names to a folder."""
        write_weights(folder, {UNET + name.removeprefix(NETWORK): value for name, value in state.items()})
