"""Clips whose motion is known exactly: textured layers under a moving camera, with shapes that pass in front.

A scene is a function of its seed in units of one 64th of the frame's shorter side; its size in pixels only decides how
finely it is sampled. Every layer moves by a similarity (shift, turn, zoom) that is a smooth, bounded function of time,
so clips may be arbitrarily long. Flow and occlusion follow from the transforms and the order of the layers; nothing is
estimated.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64

from equivdm.arrays import Flow, Frames, Mask, Picture
from equivdm.video.textures import PALETTES, PATTERNS, Canvas, Style, Texture, painted

Similarity = Float64[np.ndarray, "2 3"]
"""Linear part and shift; maps a layer's coordinates to the frame's, both in units and from the centre."""

Points = Float64[np.ndarray, "height width 2"]
"""Positions (x, y)."""

Window = tuple[slice, slice]
"""Rows and columns."""

UNITS = 64.0
"""Units along the frame's shorter side."""


@dataclass(frozen=True)
class Scene:
    """A rendered clip and what is known about it.

    Flow and masks have one step less than there are frames: `forward[k]` and `occluded_forward[k]` are of frame k,
    `backward[k]` and `occluded_backward[k]` of frame k + 1. Occluded pixels are covered by a nearer layer in the other
    frame, or outside of it.
    """

    frames: Frames
    forward: Flow
    backward: Flow
    occluded_forward: Mask
    occluded_backward: Mask
    caption: str


@dataclass(frozen=True)
class Sway:
    """A bounded, smooth course c(t) = rest + amplitude * sin(2 pi t / period + phase)."""

    rest: float
    amplitude: float
    period: float
    phase: float

    def at(self, time: int) -> float:
        """Value at a time given in frames."""
        return self.rest + self.amplitude * float(np.sin(2 * np.pi * time / self.period + self.phase))


@dataclass(frozen=True)
class Course:
    """How a layer moves: position in units, angle in radians, logarithm of its zoom."""

    x: Sway
    y: Sway
    angle: Sway
    zoom: Sway

    def at(self, time: int) -> Similarity:
        """The transform from the layer to the frame at a time given in frames."""
        scale = np.exp(self.zoom.at(time))
        c, s = scale * np.cos(self.angle.at(time)), scale * np.sin(self.angle.at(time))
        return np.array([[c, -s, self.x.at(time)], [s, c, self.y.at(time)]])


@dataclass(frozen=True)
class Layer:
    """A texture, the region it fills (signed distance in units, negative inside; None fills everything), its course."""

    canvas: Canvas
    course: Course
    distance: Callable[[Points], Float64[np.ndarray, "height width"]] | None
    name: str


def render_scene(seed: int, *, frames: int, height: int, width: int, texture: Texture = painted) -> Scene:
    """Render the scene of a seed. The same arguments give the same bytes.

    Args:
        seed: decides everything but the sampling.
        frames: number of frames, at least 1.
        height: pixels, at least 16.
        width: pixels, at least 16.
        texture: what layers are covered with: procedural patterns, or photographs (`equivdm.video.photographs`).

    Raises:
        ValueError: for a clip without frames, or a frame smaller than 16 pixels.
    """
    if frames < 1 or min(height, width) < 16:
        raise ValueError(f"got {frames} frames of {height}x{width}: at least 1 frame of 16x16")
    layers = _compose(np.random.default_rng(seed), height, width, texture)
    pairs = [(k, k + 1) for k in range(frames - 1)]
    forward = [_flow(layers, (height, width), k, after) for k, after in pairs]
    backward = [_flow(layers, (height, width), after, k) for k, after in pairs]
    return Scene(
        frames=np.stack([_picture(layers, (height, width), k) for k in range(frames)]),
        forward=_stack([flow for flow, _ in forward], (0, height, width, 2), np.float32),
        backward=_stack([flow for flow, _ in backward], (0, height, width, 2), np.float32),
        occluded_forward=_stack([hidden for _, hidden in forward], (0, height, width), np.bool_),
        occluded_backward=_stack([hidden for _, hidden in backward], (0, height, width), np.bool_),
        caption=_caption(layers),
    )


def _stack(steps: list[np.ndarray], empty: tuple[int, ...], dtype: type) -> np.ndarray:
    return np.stack(steps).astype(dtype) if steps else np.zeros(empty, dtype)


def _compose(rng: np.random.Generator, height: int, width: int, texture: Texture) -> list[Layer]:
    """Choose the layers, back to front."""
    unit = min(height, width) / UNITS
    texels = unit * _oversampling(height, width)
    palettes = rng.permutation(list(PALETTES))
    reach = (height / unit / 2, width / unit / 2)
    pattern = str(rng.choice(PATTERNS[:2], p=[0.4, 0.6]))
    camera = Course(
        x=_sway(rng, 0.0, rng.uniform(0.3, 1.6), (60, 110)),
        y=_sway(rng, 0.0, rng.uniform(0.2, 1.0), (60, 110)),
        angle=_sway(rng, 0.0, np.radians(rng.uniform(0.1, 0.8)), (60, 110)),
        zoom=_sway(rng, 0.06, rng.uniform(0.001, 0.008), (60, 110)),
    )
    style = Style(pattern, str(palettes[0]), period=36.0, contrast=0.6)
    canvas, name = texture(rng, style, (2 * reach[0] + 36, 2 * reach[1] + 36), texels)
    background = Layer(canvas, camera, None, f"{name} ground")
    count = int(rng.integers(1, 4))
    places = rng.permutation(4)
    cover = partial(texture, texels=texels)
    return [background, *(_shape(rng, cover, str(palettes[1 + i]), int(places[i]), reach) for i in range(count))]


def _shape(
    rng: np.random.Generator,
    cover: Callable[[np.random.Generator, Style, tuple[float, float]], tuple[Canvas, str]],
    palette: str,
    place: int,
    reach: tuple[float, float],
) -> Layer:
    """A disc or a rounded box in one quarter of the frame (`place`), on its own course."""
    radius = rng.uniform(9.0, 14.0)
    course = Course(
        x=_sway(rng, reach[1] * (0.45 if place % 2 else -0.45), rng.uniform(0.5, 1.6), (28, 48)),
        y=_sway(rng, reach[0] * (0.45 if place // 2 else -0.45), rng.uniform(0.5, 1.6), (28, 48)),
        angle=_sway(rng, rng.uniform(0, np.pi), np.radians(rng.uniform(0.3, 2.0)), (40, 70)),
        zoom=_sway(rng, 0.0, rng.uniform(0.0, 0.006), (40, 70)),
    )
    pattern = str(rng.choice(PATTERNS[1:]))
    disc = bool(rng.random() < 0.5)
    corner = radius if disc else 0.3 * radius
    inner = (0.0, 0.0) if disc else (radius - corner, radius * rng.uniform(0.6, 1.0) - corner)

    def distance(at: Points) -> Float64[np.ndarray, "height width"]:
        x, y = np.abs(at[..., 0]) - inner[0], np.abs(at[..., 1]) - inner[1]
        return np.hypot(np.maximum(x, 0), np.maximum(y, 0)) + np.minimum(np.maximum(x, y), 0) - corner

    style = Style(pattern, palette, period=rng.uniform(9.0, 12.0), contrast=1.0)
    canvas, name = cover(rng, style, (2.2 * radius, 2.2 * radius))
    return Layer(_shade(canvas, distance), course, distance, f"{name} {'disc' if disc else 'box'}")


def _shade(canvas: Canvas, distance: Callable[[Points], np.ndarray]) -> Canvas:
    """Round a shape off: light from above on its body, a dark rim. Painted on, so that it moves with the shape."""
    height, width = canvas.picture.shape[:2]
    at = _grid(height, width, 1 / canvas.texels)
    depth = -distance(at)
    rim = np.clip(depth / 1.6, 0, 1)
    lit = 1.0 - 0.012 * (at[..., 0] + at[..., 1])
    factor = (0.35 + 0.65 * rim) * np.clip(lit, 0.6, 1.3)
    return Canvas(np.clip(canvas.picture * factor[..., None], 0, 255).astype(np.uint8), canvas.texels)


def _sway(rng: np.random.Generator, rest: float, speed: float, periods: tuple[int, int]) -> Sway:
    """A course with a top speed (per frame), near its top in the first frames, in a random direction."""
    period = rng.uniform(*periods)
    direction = rng.choice([0.0, np.pi])
    return Sway(rest, speed * period / (2 * np.pi), period, direction + rng.uniform(-0.9, 0.1))


def _oversampling(height: int, width: int) -> int:
    return 4 if min(height, width) <= 128 else 2


def _grid(height: int, width: int, spacing: float, window: Window = (slice(None), slice(None))) -> Points:
    """Sample positions in units from the frame's centre, of the whole frame or of a window."""
    y = (np.arange(height)[window[0]] - (height - 1) / 2) * spacing
    x = (np.arange(width)[window[1]] - (width - 1) / 2) * spacing
    return np.stack(np.meshgrid(x, y), axis=-1)


def _inverse(transform: Similarity) -> Similarity:
    return cv2.invertAffineTransform(transform)


def _apply(transform: Similarity, at: Points) -> Points:
    x, y = at[..., 0], at[..., 1]
    return np.stack([a * x + b * y + c for a, b, c in transform], axis=-1)


def _owner(layers: list[Layer], at: Points, time: int) -> Int64[np.ndarray, "height width"]:
    """Index of the nearest layer at each position."""
    owner = np.zeros(at.shape[:2], np.int64)
    for index, layer in enumerate(layers):
        if layer.distance is not None:
            owner[layer.distance(_apply(_inverse(layer.course.at(time)), at)) < 0] = index
    return owner


def _flow(
    layers: list[Layer], size: tuple[int, int], start: int, end: int
) -> tuple[Float64[np.ndarray, "height width 2"], Bool[np.ndarray, "height width"]]:
    """Displacement in pixels of what is seen at `start`, and whether it is out of sight at `end`."""
    height, width = size
    unit = min(size) / UNITS
    at = _grid(height, width, 1 / unit)
    owner = _owner(layers, at, start)
    landing = at.copy()
    for index, layer in enumerate(layers):
        moved = _apply(layer.course.at(end), _apply(_inverse(layer.course.at(start)), at))
        landing = np.where((owner == index)[..., None], moved, landing)
    outside = (np.abs(landing[..., 0]) > width / unit / 2) | (np.abs(landing[..., 1]) > height / unit / 2)
    return (landing - at) * unit, outside | (_owner(layers, landing, end) > owner)


def _picture(layers: list[Layer], size: tuple[int, int], time: int) -> Picture:
    """Draw the layers back to front at several samples a pixel, then average."""
    height, width = size
    factor = _oversampling(height, width)
    fine = (height * factor, width * factor)
    spacing = UNITS / min(fine)
    drawn = np.zeros((*fine, 3), np.float32)
    for layer in layers:
        back = _inverse(layer.course.at(time))
        window = _window(layer, time, fine, spacing)
        sampled = _sample(layer.canvas, back, fine, spacing, window)
        if layer.distance is None:
            drawn[window] = sampled
            continue
        at = _grid(*fine, spacing, window)
        cover = np.clip(0.5 - layer.distance(_apply(back, at)) / spacing, 0, 1).astype(np.float32)[..., None]
        drawn[window] += cover * (sampled - drawn[window])
    return np.round(cv2.resize(drawn, (width, height), interpolation=cv2.INTER_AREA)).astype(np.uint8)


def _window(layer: Layer, time: int, fine: tuple[int, int], spacing: float) -> Window:
    """Rows and columns that a layer can touch."""
    if layer.distance is None:
        return slice(0, fine[0]), slice(0, fine[1])
    to_frame = layer.course.at(time)
    reach = np.hypot(*layer.canvas.picture.shape[:2]) / 2 / layer.canvas.texels * np.hypot(*to_frame[:, 0])
    spans = []
    for middle, length in ((to_frame[1, 2], fine[0]), (to_frame[0, 2], fine[1])):
        first, last = (int(np.clip((middle + side) / spacing + length / 2, 0, length)) for side in (-reach, reach))
        spans.append(slice(first, last))
    return spans[0], spans[1]


def _sample(
    canvas: Canvas, back: Similarity, fine: tuple[int, int], spacing: float, window: Window
) -> Float32[np.ndarray, "rows columns 3"]:
    """The canvas as seen at the fine samples of a window; `back` leads from the frame to the layer."""
    rows, columns = window
    centre = (np.array(canvas.picture.shape[1::-1]) - 1) / 2
    linear = back[:, :2] * spacing * canvas.texels
    corner = np.array([columns.start - (fine[1] - 1) / 2, rows.start - (fine[0] - 1) / 2])
    matrix = np.column_stack([linear, linear @ corner + back[:, 2] * canvas.texels + centre])
    size = (columns.stop - columns.start, rows.stop - rows.start)
    if 0 in size:
        return np.zeros((size[1], size[0], 3), np.float32)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    # Reflection continues a texture where a long pan leaves its canvas.
    drawn = cv2.warpAffine(canvas.picture, matrix, size, flags=flags, borderMode=cv2.BORDER_REFLECT_101)
    return drawn.astype(np.float32)


def _caption(layers: list[Layer]) -> str:
    step = layers[0].course.at(1)[:, 2] - layers[0].course.at(0)[:, 2]
    # The ground moves against the camera.
    sideways = abs(step[0]) >= abs(step[1])
    names = ("right", "left") if sideways else ("down", "up")
    pan = names[int(step[0 if sideways else 1] > 0)]
    zoom = layers[0].course.zoom
    verb = "zooms in" if zoom.at(1) > zoom.at(0) else "zooms out"
    ground, *shapes = (f"{'an' if layer.name[0] in 'aeiou' else 'a'} {layer.name}" for layer in layers)
    subject = ", ".join(shapes[:-1]) + " and " + shapes[-1] + " move" if len(shapes) > 1 else shapes[0] + " moves"
    return f"{subject} over {ground} while the camera pans {pan} and {verb}.".capitalize()
