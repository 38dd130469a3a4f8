"""How latent grids lie over videos. No torch: flow and motion plans need the grid and not the network."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Geometry:
    """How the latent grid lies over the pixels."""

    channels: int
    """Latent channels."""
    space_stride: int
    """Pixels along each side of a latent cell."""
    time_stride: int
    """Video frames to a latent frame."""
    causal: bool
    """Whether the first latent frame holds one video frame only, so that frames = stride * n + 1."""

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """Return the latent (height, width) of a video of `height` x `width` pixels.

        Raises ValueError where the stride does not divide the size.
        """
        stride = self.space_stride
        if height < 1 or width < 1 or height % stride or width % stride:
            raise ValueError(f"got a video of {height}x{width} pixels, wanted multiples of {stride}: change the size")
        return height // stride, width // stride

    def check_patch(self, rows: int, columns: int, patch: int) -> None:
        """Raise ValueError where a latent grid is no multiple of a network's patch."""
        if rows % patch or columns % patch:
            raise ValueError(
                f"got a latent grid of {rows}x{columns}, wanted multiples of the patch ({patch}): "
                f"make height and width multiples of {patch * self.space_stride} pixels"
            )

    def frame_indices(self, frames: int) -> tuple[int, ...]:
        """Return the video frame whose place and noise each latent frame takes.

        Raises ValueError where that many frames cannot be encoded.
        """
        rest = 1 if self.causal else 0
        if frames < 1 or frames % self.time_stride != rest % self.time_stride:
            wanted = f"{self.time_stride} * n + 1" if self.causal else f"a multiple of {self.time_stride}"
            raise ValueError(f"got {frames} frames, wanted {wanted}: change the length of the clips")
        return tuple(range(0, frames, self.time_stride))

    def latent_shape(self, frames: int, height: int, width: int) -> tuple[int, int, int, int]:
        """Return a video's latent (channels, time, height, width). Raises ValueError as `grid` and `frame_indices`."""
        return self.channels, len(self.frame_indices(frames)), *self.grid(height, width)
