"""Which part of a picture a clip shows."""

from typing import NamedTuple


class Crop(NamedTuple):
    """A part of a picture, in stored pixels."""

    top: int
    left: int
    rows: int
    columns: int

    @property
    def part(self) -> tuple[slice, slice]:
        """Rows and columns, to index a picture with."""
        return slice(self.top, self.top + self.rows), slice(self.left, self.left + self.columns)

    def shrinks_to(self, size: tuple[int, int]) -> bool:
        """Say whether scaling it to `size` (height, width) enlarges neither side."""
        return size[0] <= self.rows and size[1] <= self.columns


def centred_crop(height: int, width: int, aspect: float, size: tuple[int, int]) -> Crop:
    """Return the largest centred part of a picture that has the shape of `size`.

    Args:
        height: rows of the upright picture.
        width: its columns.
        aspect: width of one of its pixels over that pixel's height.
        size: (height, width) of what is shown in square pixels.
    """
    # Stored columns per stored row in a part that is shown with the wanted shape.
    shape = size[1] / size[0] / aspect
    rows, columns = min(height, max(1, round(width / shape))), min(width, max(1, round(height * shape)))
    return Crop((height - rows) // 2, (width - columns) // 2, rows, columns)
