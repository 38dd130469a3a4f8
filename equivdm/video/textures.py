"""Procedural pictures that stand in for photographs: palettes, layered noise, and a few patterns.

Lengths are in units of one 64th of the frame's shorter side, so that a texture looks the same at every resolution and
only gains detail where there are pixels to show it.
"""

import math
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import cv2
import numpy as np
from jaxtyping import Float32

from equivdm.arrays import Picture

Plane = Float32[np.ndarray, "height width"]
"""One value per texel."""

PALETTES: dict[str, tuple[str, ...]] = {
    "amber": ("2b1608", "7a3b0c", "c9791a", "f2b749", "fff0c4"),
    "crimson": ("24060c", "7d1020", "c62a38", "ee6f5e", "ffd9c2"),
    "teal": ("04201f", "0b5a5a", "1f9a92", "7fd3c0", "e8fbef"),
    "violet": ("180a2e", "4a2178", "8650b8", "c59be0", "f6e6fb"),
    "azure": ("061a33", "124d86", "2f8ac7", "8cc8ea", "f0faff"),
    "olive": ("161a08", "4a5216", "8a8f34", "c7c67a", "f5f2cf"),
    "slate": ("12161c", "3a444f", "6d7a86", "a9b4bc", "eef1f2"),
    "rose": ("2e0a1e", "8a2a5a", "d2608f", "f3a8bd", "fff0ee"),
}
"""Name to colours from dark to light, in hexadecimal RGB."""

PATTERNS = ("clouded", "marbled", "striped", "checked", "dotted")
"""Names of the patterns that `paint` knows."""


@dataclass(frozen=True)
class Canvas:
    """A texture large enough for what a camera may see of it.

    `texels` is the number of texels per unit, and the canvas's centre is the origin of its coordinates.
    """

    picture: Picture
    texels: float


@dataclass(frozen=True)
class Style:
    """A texture's looks: names from PATTERNS and PALETTES, length of a repeat in units, and 1 for full contrast."""

    pattern: str
    palette: str
    period: float
    contrast: float


@runtime_checkable
class Texture(Protocol):
    """What layers of a scene are covered with."""

    def __call__(
        self, rng: np.random.Generator, style: Style, extent: tuple[float, float], texels: float
    ) -> tuple[Canvas, str]:
        """Return a canvas and its name. `rng` is the source of every choice; the rest is as in `paint`."""
        ...


def painted(rng: np.random.Generator, style: Style, extent: tuple[float, float], texels: float) -> tuple[Canvas, str]:
    """Return what `paint` makes of a style."""
    return paint(rng, style, extent, texels), f"{style.palette} {style.pattern}"


@dataclass(frozen=True)
class Muted:
    """Another texture with its colours drawn towards grey, at the same brightness."""

    texture: Texture
    saturation: float
    """Factor of the chroma: 0 is grey, 1 leaves colours alone."""

    def __call__(
        self, rng: np.random.Generator, style: Style, extent: tuple[float, float], texels: float
    ) -> tuple[Canvas, str]:
        """See `Texture`."""
        canvas, name = self.texture(rng, style, extent, texels)
        ycc = cv2.cvtColor(canvas.picture, cv2.COLOR_RGB2YCrCb).astype(np.float32)
        ycc[..., 1:] = 128 + self.saturation * (ycc[..., 1:] - 128)
        picture = cv2.cvtColor(np.round(ycc).astype(np.uint8), cv2.COLOR_YCrCb2RGB)
        return Canvas(picture, canvas.texels), name


def paint(rng: np.random.Generator, style: Style, extent: tuple[float, float], texels: float) -> Canvas:
    """Paint a texture.

    Args:
        rng: source of every choice; a generator in the same state paints the same picture. It gives one draw and
            spawns a stream for each noise, so that more octaves at a finer resolution leave all other choices alone.
        style: what to paint.
        extent: height and width in units.
        texels: texels per unit.

    Raises:
        ValueError: for an unknown pattern or palette.
    """
    if style.pattern not in PATTERNS or style.palette not in PALETTES:
        raise ValueError(f"got {style}: choose from the patterns {PATTERNS} and the palettes {tuple(PALETTES)}")
    streams = rng.spawn(3)
    coarse = fractal(streams[0], extent, texels, longest=48.0, gain=0.35)
    fine = fractal(streams[1], extent, texels, longest=12.0, gain=0.5)
    height, width = coarse.shape
    y, x = np.mgrid[:height, :width].astype(np.float32) / np.float32(texels)
    angle, sway = rng.uniform(0, math.pi), 0.25 * style.period
    # The turned axes sway with the coarse noise, as grain in wood or folds in cloth do.
    u = (math.cos(angle) * x + math.sin(angle) * y + sway * coarse) / style.period
    v = (math.cos(angle) * y - math.sin(angle) * x + sway * coarse) / style.period
    tone = 0.5 + style.contrast * _tone(style.pattern, coarse, fine, u, v)
    light = 0.9 + 0.16 * fractal(streams[2], extent, texels, longest=48.0, gain=0.3)
    return Canvas(_colour(tone, light, style.palette), texels)


def fractal(rng: np.random.Generator, extent: tuple[float, float], texels: float, longest: float, gain: float) -> Plane:
    """Sum octaves of smooth noise from wavelength `longest` down to what the texels can show; about -1 to 1.

    Each octave is a lattice of normal values, enlarged cubically, with `gain` times the amplitude of the one before.
    """
    height, width = (max(2, round(side * texels)) for side in extent)
    total = np.zeros((height, width), np.float32)
    wavelength, amplitude, power = longest, 1.0, 0.0
    # Below 12 texels of wavelength interpolation, not the texture, would decide how well frames agree.
    while wavelength * texels >= 12:
        rows, columns = (int(np.ceil(2 * side / wavelength)) + 2 for side in extent)
        lattice = rng.standard_normal((rows, columns), dtype=np.float32)
        total += amplitude * cv2.resize(lattice, (width, height), interpolation=cv2.INTER_CUBIC)
        power += amplitude**2
        wavelength, amplitude = wavelength / 2, amplitude * gain
    return np.tanh(total / (1.6 * max(power, 1e-6) ** 0.5)).astype(np.float32)


def _tone(pattern: str, coarse: Plane, fine: Plane, u: Plane, v: Plane) -> Plane:
    """Brightness about 0, mostly within -0.5 to 0.5."""
    grain = 0.08 * fine + 0.1 * coarse
    if pattern == "clouded":
        return 0.42 * coarse + 0.08 * fine
    if pattern == "marbled":
        return 0.36 * np.sin(2 * np.pi * (u + 0.5 * coarse)) + 0.08 * fine
    if pattern == "striped":
        return 0.3 * np.tanh(3 * np.sin(2 * np.pi * u)) + grain
    if pattern == "checked":
        return 0.3 * np.tanh(5 * np.sin(np.pi * u) * np.sin(np.pi * v)) + grain
    return 0.3 * np.tanh(5 * (np.hypot(np.sin(np.pi * u), np.sin(np.pi * v)) - 0.6)) + grain


def _colour(tone: Plane, light: Plane, palette: str) -> Picture:
    stops = np.array([[int(code[i : i + 2], 16) for i in (0, 2, 4)] for code in PALETTES[palette]], np.float32)
    at = np.linspace(0, 1, len(stops))
    table = np.stack([np.interp(np.linspace(0, 1, 1024), at, stops[:, i]) for i in range(3)], axis=-1)
    index = np.clip(1023 * tone, 0, 1023).astype(np.intp)
    return np.clip(table.astype(np.float32)[index] * light[..., None], 0, 255).astype(np.uint8)
