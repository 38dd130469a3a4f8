"""Other ways to carry noise along a flow, written from their papers: for benchmarks and ablations, never by default.

Each function takes the noise of a frame, [channels, height, width], and gives that of the next. Flow has the noise's
size, [height, width, 2] in pixels of it: `forward` leads from this frame to the next, `backward` from there to here.
"""

from dataclasses import dataclass

import cv2
import numpy as np

Noise = np.ndarray
Field = np.ndarray


def _sources(backward: Field) -> tuple[np.ndarray, np.ndarray]:
    """Return where each pixel of the next frame comes from, as coordinates of pixel centres (x, y)."""
    y, x = np.mgrid[0 : backward.shape[0], 0 : backward.shape[1]].astype(np.float32)
    return x + backward[..., 0], y + backward[..., 1]


def bilinear(noise: Noise, forward: Field, backward: Field, generator: np.random.Generator) -> Noise:
    """Interpolate the values, as one would an image."""
    del forward, generator
    x, y = _sources(backward)
    return np.stack([cv2.remap(one, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT) for one in noise])


def nearest(noise: Noise, forward: Field, backward: Field, generator: np.random.Generator) -> Noise:
    """Take the value of the nearest pixel."""
    del forward, generator
    x, y = _sources(backward)
    return np.stack([cv2.remap(one, x, y, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REFLECT) for one in noise])


def brownian(noise: Noise, forward: Field, backward: Field, generator: np.random.Generator, points: int = 4) -> Noise:
    """Infinite-resolution integral noise (Deng et al., ICLR 2025), grid form, step by step.

    A source pixel's noise is the integral over its area. It is divided among the pixels of the next frame that its area
    goes to, by a Brownian bridge; areas are counted with `points` x `points` points to a pixel.
    """
    del forward
    channels, height, width = noise.shape
    offsets = (np.arange(points) + 0.5) / points - 0.5
    targets, sources = [], []
    x, y = _sources(backward)
    place = np.arange(height * width)
    for dy in offsets:
        for dx in offsets:
            # The flow is taken as constant within a pixel.
            column, row = np.rint(x + dx).astype(int).ravel(), np.rint(y + dy).astype(int).ravel()
            inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
            sources.append(np.where(inside, row * width + column, height * width + place))
            targets.append(place)
    pairs, counts = np.unique(np.concatenate(sources) * (height * width) + np.concatenate(targets), return_counts=True)
    source, target = pairs // (height * width), pairs % (height * width)
    share = counts / np.bincount(source, counts)[source]
    area = np.bincount(target, share, minlength=height * width)
    inside = source < height * width  # what comes from outside is new, and known to nobody
    out = np.empty((channels, height * width), np.float32)
    for channel in range(channels):
        parts = generator.standard_normal(len(pairs)) * np.sqrt(share)
        drawn = np.bincount(source, parts)[source]
        known = noise[channel].ravel()[np.where(inside, source, 0)]
        parts += np.where(inside, share * (known - drawn), 0)
        out[channel] = np.bincount(target, parts, minlength=height * width) / np.sqrt(area)
    return out.reshape(noise.shape)


@dataclass
class GoWithTheFlow:
    """Go-with-the-Flow (Burgert et al., CVPR 2025), its bipartite graph of expansion and contraction, step by step."""

    noise: Noise
    density: np.ndarray | None = None

    def step(self, forward: Field, backward: Field, generator: np.random.Generator) -> Noise:
        """Return the next frame's noise, and keep it and the density of each pixel for the step after."""
        channels, height, width = self.noise.shape
        size = height * width
        density = np.ones(size) if self.density is None else self.density
        y, x = np.mgrid[0:height, 0:width]
        to_x, to_y = np.rint(x + forward[..., 0]).astype(int), np.rint(y + forward[..., 1]).astype(int)
        stays = ((to_x >= 0) & (to_x < width) & (to_y >= 0) & (to_y < height)).ravel()
        source = np.flatnonzero(stays)
        target = (to_y * width + to_x).ravel()[source]
        missed = np.setdiff1d(np.arange(size), target)
        from_x, from_y = (np.rint(each).astype(int).ravel()[missed] for each in _sources(backward))
        inside = (from_x >= 0) & (from_x < width) & (from_y >= 0) & (from_y < height)
        source = np.concatenate([source, (from_y * width + from_x)[inside]])
        target = np.concatenate([target, missed[inside]])
        degree = np.bincount(source, minlength=size)[source]
        weight = density[source] / degree
        out = generator.standard_normal((channels, size), np.float32)  # kept where nothing leads to
        norm = np.sqrt(np.bincount(target, weight**2, minlength=size))
        reached = norm > 0
        flat = self.noise.reshape(channels, size)
        for channel in range(channels):
            fresh = generator.standard_normal(len(source))
            mean = np.bincount(source, fresh, minlength=size)[source] / degree
            edge = flat[channel][source] / np.sqrt(degree) + fresh - mean
            out[channel][reached] = np.bincount(target, weight * edge, minlength=size)[reached] / norm[reached]
        total = np.bincount(target, weight, minlength=size)
        self.density = np.where(reached, total, 1.0)
        self.noise = out.reshape(self.noise.shape)
        return self.noise


@dataclass
class IntegralNoise:
    """HIWYN (Chang et al., ICLR 2024): finer noise of the first frame, summed over the warped outline of each pixel.

    The outlines are never drawn: the middles of the fine pixels ride on the composed forward map, and each belongs to
    the pixel that it lies in. It is the paper's rule for an invertible map, and what comes close to the ideal.
    """

    noise: Noise
    finer: int
    generator: np.random.Generator

    def __post_init__(self) -> None:
        """Refine the first frame's noise, each pixel into `finer` x `finer` white ones that sum up to it."""
        k = self.finer
        channels, height, width = self.noise.shape
        fresh = self.generator.standard_normal((channels, height, k, width, k), np.float32)
        fresh += self.noise[:, :, None, :, None] / k - fresh.mean(axis=(2, 4), keepdims=True)
        self.fine = fresh.reshape(channels, -1)
        y, x = np.mgrid[0 : height * k, 0 : width * k].astype(np.float32)
        self.x, self.y = ((each + np.float32(0.5)) / k - np.float32(0.5) for each in (x, y))

    def step(self, forward: Field, backward: Field, generator: np.random.Generator) -> Noise:
        """Return the next frame's noise; fresh where none of the first frame's material is."""
        del backward
        channels, height, width = self.noise.shape
        moved = cv2.remap(forward, self.x, self.y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        self.x, self.y = self.x + moved[..., 0], self.y + moved[..., 1]
        column, row = np.rint(self.x).ravel(), np.rint(self.y).ravel()
        inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
        target = (row[inside] * width + column[inside]).astype(np.int64)
        count = np.bincount(target, minlength=height * width)
        out = generator.standard_normal((channels, height * width), np.float32)
        for channel in range(channels):
            sums = np.bincount(target, self.fine[channel, inside], minlength=height * width)
            out[channel] = np.where(count > 0, sums / np.sqrt(np.maximum(count, 1)), out[channel])
        return out.reshape(self.noise.shape)
