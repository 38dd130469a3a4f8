"""Convolutional parts of the UNet, and stages that run layers of all kinds."""

from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from equivdm.networks.videocrafter2.attention import Context, ContextLayer
from equivdm.networks.videocrafter2.parts import Maps, NewMaps, convolution, normalisation, zeroed

_EPS = 1e-5
"""Added to the variance by the normalisations of convolutions in the UNet."""

_DROPOUT = 0.1
"""Share of values that training drops in the convolutions over time."""


class Stage(nn.ModuleList):
    """Layers one after another; those that look at the context get it."""

    def forward(self, x: Maps, context: Context) -> NewMaps:
        """Return the maps after the last layer."""
        for layer in self:
            x = layer(x, context) if isinstance(layer, ContextLayer) else layer(x)
        return x


class ResidualBlock(ContextLayer):
    """Two convolutions within each frame, shifted by the clock, then four over time."""

    def __init__(self, inputs: int, outputs: int, clock: int) -> None:
        super().__init__()
        self.in_layers = nn.Sequential(normalisation(inputs, _EPS), nn.SiLU(), convolution(inputs, outputs))
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(clock, outputs))
        # The identity keeps the public number of the layer after it.
        self.out_layers = nn.Sequential(
            normalisation(outputs, _EPS), nn.SiLU(), nn.Identity(), zeroed(convolution(outputs, outputs))
        )
        self.skip_connection = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1)
        # The public checkpoint spells it so.
        self.temopral_conv = _TimeConvolutions(outputs)

    def forward(self, x: Maps, context: Context) -> NewMaps:
        """Return the maps in `outputs` channels."""
        shift = self.emb_layers(context.clock).repeat_interleave(context.frames, 0)
        inner = self.in_layers(x) + shift[..., None, None]
        y = self.skip_connection(x) + self.out_layers(inner)
        video = rearrange(y, "(b t) c h w -> b c t h w", t=context.frames)
        return rearrange(self.temopral_conv(video), "b c t h w -> (b t) c h w")


class _TimeConvolutions(nn.Module):
    """Four convolutions over three frames each, added to their input."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = _over_time(width, dropout=False)
        self.conv2, self.conv3, self.conv4 = (_over_time(width, dropout=True) for _ in range(3))
        zeroed(self.conv4[-1])

    def forward(
        self, video: Float[Tensor, "videos channels time rows columns"]
    ) -> Float[Tensor, "videos channels time rows columns"]:
        return video + self.conv4(self.conv3(self.conv2(self.conv1(video))))


class Downsample(nn.Module):
    """Half of the rows and columns, by a convolution."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.op = nn.Conv2d(width, width, 3, stride=2, padding=1)

    def forward(self, x: Maps) -> NewMaps:
        """Return maps of half the size."""
        return self.op(x)


def _over_time(width: int, dropout: bool) -> nn.Sequential:
    between = [nn.Dropout(_DROPOUT)] if dropout else []
    across = nn.Conv3d(width, width, (3, 1, 1), padding=(1, 0, 0))
    return nn.Sequential(normalisation(width, _EPS), nn.SiLU(), *between, across)
