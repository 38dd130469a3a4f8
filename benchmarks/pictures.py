"""The pictures of docs/noise.md: what ways to warp noise make of it, and how long they remember.

`python -m benchmarks.pictures` writes them to docs/images.
"""

from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np

from benchmarks.noise import (
    CHANNELS,
    MOTIONS,
    PEERS,
    STRIDE,
    WARPS,
    all_speeds,
    at_cells,
    flow_of,
    matrix,
    particles,
    tracking,
)
from equivdm.noise.colour import noise_colours

OUT = Path(__file__).parents[1] / "docs" / "images"
SIZE = (240, 416)
SHOWN = (0, 8, 24, 48)
COLOURS = {
    "bilinear": "#9a9a9a",
    "nearest": "#c9a227",
    "infinite resolution": "#7b5ea7",
    "Go-with-the-Flow": "#c26a2d",
    "HIWYN": "#2a8a6a",
    "particles 4x4": "#2563b8",
}


def frames_of(scheme: str, name: str) -> list[np.ndarray]:
    """Return the noise of a scheme for a motion, on the latent grid."""
    motion = matrix(name, SIZE)
    if scheme.startswith("particles"):
        return particles(int(scheme[-1]), motion, SIZE, seed=1)
    flows = tuple(at_cells(flow_of(each, SIZE), STRIDE) for each in (motion, np.linalg.inv(motion)))
    generator = np.random.default_rng(0)
    first = generator.standard_normal((CHANNELS, SIZE[0] // STRIDE, SIZE[1] // STRIDE)).astype(np.float32)
    return PEERS[scheme](first, flows, generator)


def strips(schemes: tuple[str, ...], name: str) -> None:
    """Draw frames of the noise, a row a scheme."""
    figure, axes = plt.subplots(len(schemes), len(SHOWN), figsize=(10, 1.62 * len(schemes)), squeeze=False)
    for row, scheme in zip(axes, schemes, strict=True):
        frames = frames_of(scheme, name)
        for axis, at in zip(row, SHOWN, strict=True):
            axis.imshow(noise_colours(frames[at][None])[0], interpolation="nearest")
            axis.set(xticks=[], yticks=[])
        row[0].set_ylabel(scheme)
    for axis, at in zip(axes[0], SHOWN, strict=True):
        axis.set_title("first frame" if at == 0 else f"after {at} steps")
    figure.tight_layout()
    figure.savefig(OUT / "noise_schemes.png", dpi=110)


def curves() -> None:
    """Draw how much of the first frame's noise a cell still has, step by step, a panel a motion."""
    figure, axes = plt.subplots(1, len(MOTIONS), figsize=(12, 3.2), sharey=True)
    steps = (1, 2, 3, 4, 6, 8, 12, 16, 20, 24, 28, 32, 36, 40, 44, WARPS)
    for axis, name in zip(axes, MOTIONS, strict=True):
        for scheme, colour in COLOURS.items():
            frames = frames_of(scheme, name)
            values = [tracking(frames, matrix(name, SIZE), at) for at in steps]
            dashed = "--" if scheme == "HIWYN" else "-"
            axis.plot(steps, values, dashed, color=colour, label=scheme, linewidth=2)
        axis.set(title=name, xlabel="step", ylim=(-0.05, 1))
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("correlation with the first frame\nat the same material")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="lower center", ncols=len(COLOURS), frameon=False)
    figure.tight_layout(rect=(0, 0.08, 1, 1))
    figure.savefig(OUT / "noise_tracking.png", dpi=110)


def bars() -> None:
    """Draw milliseconds a frame on one thread, on a scale of factors of ten."""
    figures = dict(sorted(all_speeds((480, 832), threads=(1,)).items(), key=lambda named: -named[1]))
    figure, axis = plt.subplots(figsize=(9, 3.6))
    colours = [COLOURS["particles 4x4" if "thread" in name else "bilinear"] for name in figures]
    drawn = axis.barh([name.removesuffix(", 1 thread") for name in figures], list(figures.values()), color=colours)
    axis.bar_label(drawn, labels=[f"{value:,.{int(value < 10)}f} ms" for value in figures.values()], padding=4)
    axis.set(xscale="log", xlim=(0.5, 1e4), xlabel="milliseconds a frame, 480 x 832 px to 60 x 104 x 16, one thread")
    axis.spines[["top", "right"]].set_visible(False)
    axis.invert_yaxis()
    figure.tight_layout()
    figure.savefig(OUT / "noise_speed.png", dpi=110)


def main() -> None:
    """Write the pictures."""
    mpl.use("Agg")
    bars()
    strips(("bilinear", "HIWYN", "particles 4x4"), "turn")
    curves()


if __name__ == "__main__":
    main()
