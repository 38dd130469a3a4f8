"""Photographs that come along with scikit-image and scikit-learn, as textures of scenes; nothing is downloaded.

Where these packages are absent, a folder of the files does: its name is taken from `EQUIVDM_PHOTOGRAPHS`.
"""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np

from equivdm.arrays import Picture
from equivdm.errors import UsageError
from equivdm.video.textures import Canvas, Style

PHOTOGRAPHS: Mapping[str, tuple[str, str]] = {
    "astronaut": ("skimage.data", "astronaut.png"),
    "cat": ("skimage.data", "chelsea.png"),
    "coffee": ("skimage.data", "coffee.png"),
    "tissue": ("skimage.data", "ihc.png"),
    "motorcycle": ("skimage.data", "motorcycle_left.png"),
    "rocket": ("skimage.data", "rocket.jpg"),
    "retina": ("skimage.data", "retina.jpg"),
    "brick": ("skimage.data", "brick.png"),
    "camera": ("skimage.data", "camera.png"),
    "coins": ("skimage.data", "coins.png"),
    "grass": ("skimage.data", "grass.png"),
    "gravel": ("skimage.data", "gravel.png"),
    "temple": ("sklearn.datasets.images", "china.jpg"),
    "flower": ("sklearn.datasets.images", "flower.jpg"),
}
"""Name to package and file."""

SHA256 = "ab67d5916c928274deb8deb398008cb8eee6ef034f78dfc168b7e60767701b1b"
"""Of the bytes of all files behind each other, in the order of their names: what generated clips are known by."""

FOLDER = "EQUIVDM_PHOTOGRAPHS"
"""Variable of the environment that names a folder of the files, written by `write_photographs`."""

SHARE = (0.45, 1.0)
"""A canvas is a cutting of the photograph, its longer side such a share of the photograph's shorter one."""

TURN, STRETCH, TINT = np.radians(25), (0.8, 1.25), 14.0
"""Bounds of the changes of colour: angle of hue, factors of saturation and contrast, and chroma in 8-bit levels."""


@dataclass(frozen=True)
class Photographic:
    """A texture that is a random cutting of a random photograph, turned, mirrored and its colours changed a little."""

    photographs: Mapping[str, np.ndarray]
    """Name to picture, 8-bit RGB, each of its own size."""

    def __call__(
        self, rng: np.random.Generator, style: Style, extent: tuple[float, float], texels: float
    ) -> tuple[Canvas, str]:
        """See `Texture`. The style is of patterns only, and says nothing here."""
        name = str(rng.choice(sorted(self.photographs)))
        size = (max(2, round(extent[0] * texels)), max(2, round(extent[1] * texels)))
        picture = _cut(rng, self.photographs[name], size)
        picture = np.rot90(picture, int(rng.integers(4))) if size[0] == size[1] else picture
        picture = picture[:, :: int(rng.choice([-1, 1]))]
        return Canvas(_recolour(rng, np.ascontiguousarray(picture)), texels), name


@cache
def load_photographs() -> Mapping[str, np.ndarray]:
    """Return every photograph, 8-bit RGB of its own size. Raises UsageError where a package that has them is absent."""
    return {name: _decoded(data) for name, data in _files().items()}


def check_photographs() -> None:
    """Raise UsageError where photographs are absent, or others than those that keys of measurements are made of."""
    found = _files()
    got = hashlib.sha256(b"".join(found[name] for name in sorted(found))).hexdigest()
    if got != SHA256:
        raise UsageError(
            f"photographs: got files of sha256 {got[:12]}..., wanted {SHA256[:12]}...: install the versions of "
            "scikit-image and scikit-learn in constraints.txt"
        )


def write_photographs(folder: Path) -> None:
    """Write the files, 4 MB, for a machine without the packages. Raises UsageError where they are absent here."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in _files().items():
        (folder / PHOTOGRAPHS[name][1]).write_bytes(data)


def _files() -> Mapping[str, bytes]:
    """Return the files by name."""
    absent = [package for package in ("skimage", "sklearn") if find_spec(package) is None]
    if not absent:
        return {name: files(package).joinpath(file).read_bytes() for name, (package, file) in PHOTOGRAPHS.items()}
    folder = os.environ.get(FOLDER)
    if folder is None or not Path(folder).is_dir():
        raise UsageError(f"photographs: got no package {absent[0]}: pip install 'equivdm[photographs]'")
    return {name: Path(folder, file).read_bytes() for name, (_, file) in PHOTOGRAPHS.items()}


def _decoded(data: bytes) -> Picture:
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None, "a file of PHOTOGRAPHS is no picture"
    return cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)


def _cut(rng: np.random.Generator, picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A cutting of the canvas's shape, at the canvas's size."""
    shorter = min(picture.shape[:2])
    longer = rng.uniform(*SHARE) * shorter
    height, width = (max(2, round(longer * side / max(size))) for side in size)
    top, left = (
        int(rng.integers(whole - part + 1)) for whole, part in zip(picture.shape[:2], (height, width), strict=True)
    )
    cutting = picture[top : top + height, left : left + width]
    shrinks = height > size[0]
    return cv2.resize(cutting, size[::-1], interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)


def _recolour(rng: np.random.Generator, picture: Picture) -> Picture:
    """Turn the hue, stretch saturation and contrast, and tint the whole, so that grey photographs get colours too."""
    luma, *chroma = np.moveaxis(cv2.cvtColor(picture, cv2.COLOR_RGB2YCrCb).astype(np.float32), -1, 0)
    angle, (saturation, contrast) = rng.uniform(-TURN, TURN), rng.uniform(*STRETCH, 2)
    red, blue = (plane - 128 for plane in chroma)
    tint = 128 + rng.uniform(-TINT, TINT, 2)
    turned = (
        luma.mean() + contrast * (luma - luma.mean()),
        tint[0] + saturation * (np.cos(angle) * red - np.sin(angle) * blue),
        tint[1] + saturation * (np.sin(angle) * red + np.cos(angle) * blue),
    )
    changed = np.clip(np.round(np.stack(turned, -1)), 0, 255).astype(np.uint8)
    return cv2.cvtColor(changed, cv2.COLOR_YCrCb2RGB)
