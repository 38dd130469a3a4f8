"""How much values change along a tracked point: the paper's figure 2, in pixels, latents or noise."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import grid_sample

Values = Float[Tensor, "time channels height width"]
Tracks = Float[Tensor, "tracks _ 2"]


def track_variation(values: Values, tracks: Tracks) -> float:
    """Root mean square over the tracks of the standard deviation in time of the value at the point, over the standard
    deviation of all values; of each channel by itself, and their mean.

    0 is values that move along with the points; 1 is values that know nothing of them, such as noise that is fresh in
    every frame, at points on whole pixels (between them values are interpolated, and vary less). In time the deviation
    is the unbiased one, of n - 1, so that the length of the video does not matter.

    Args:
        values: pixels, latents or noise of one video.
        tracks: (x, y) of each point in each frame, in cells of the values, whose centres lie on whole numbers: the
            pixel p lies at (p + 0.5) / stride - 0.5 of a latent grid. Points must be visible throughout.

    Raises:
        ValueError: for fewer than 2 frames, no track, one that leaves the frame, or a channel without contrast.
    """
    time, _, height, width = values.shape
    inside = (tracks >= -0.5) & (tracks <= tracks.new_tensor([width, height]) - 0.5)
    if time < 2 or not len(tracks) or tracks.shape[1] != time or not bool(inside.all()):
        raise ValueError(
            f"got {len(tracks)} tracks of {tracks.shape[1]} frames for {time} frames of {height} x {width}, wanted "
            "some of as many frames, 2 at least, that stay inside: leave out those that go"
        )
    spread = values.double().std((0, 2, 3), correction=0)
    if not bool((spread > 0).all()):
        raise ValueError("values: got a channel that is the same all over, wanted some contrast: leave the channel out")
    along = _sampled(values, tracks).var(0, correction=1).mean(-1).sqrt()
    return (along / spread).mean().item()


def _sampled(values: Values, tracks: Tracks) -> Float[Tensor, "time channels tracks"]:
    """Sample the values at the points, bilinearly; beyond the outermost centres they are those of the border."""
    size = torch.tensor([values.shape[3], values.shape[2]], dtype=torch.float64, device=values.device)
    places = ((2 * tracks.double() + 1) / size - 1).transpose(0, 1)[:, None]
    return grid_sample(values.double(), places, padding_mode="border", align_corners=False)[:, :, 0]
