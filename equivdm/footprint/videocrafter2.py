"""VideoCrafter2's UNet, layer by layer as `equivdm.networks.videocrafter2.unet` builds it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from equivdm.footprint.base import ATTENTION, Linear, Micro
from equivdm.networks.videocrafter2.sizes import UNetSizes

_FIRST_HEADS = 8


class _Layer(NamedTuple):
    kind: str
    """`res`, `space`, `time`, `down`, `up` or `convolution`."""
    stage: int
    """Layers of a stage are computed again together."""
    level: int
    """Of the maps that it is given: each level has half of the rows and columns."""
    inputs: int
    outputs: int


@dataclass(frozen=True)
class VideoCrafter2Footprint:
    """Sizes by those of the network; the public checkpoint's unless given."""

    sizes: UNetSizes = field(default_factory=UNetSizes)
    words: int = 77

    @property
    def parameters(self) -> int:
        """Number of weights."""
        width, latents = self.sizes.width, self.sizes.latents
        embeddings = 2 * (4 * width * (width + 1) + 4 * width * (4 * width + 1))
        ends = 9 * latents * width + width + 2 * width + 9 * width * latents + latents
        return embeddings + ends + sum(self._parameters(layer) for layer in self._layers())

    @property
    def largest(self) -> int:
        """Of a convolution, of an MLP, or of the clock."""
        found = [16 * self.sizes.width**2]
        for layer in self._layers():
            inner, outputs = self._inner(layer), layer.outputs
            attends = layer.kind in ("space", "time")
            found.append(8 * inner**2 if attends else 9 * max(inner, outputs) * outputs)
        return max(found)

    @property
    def linears(self) -> Sequence[Linear]:
        """The attention projections, of which the text's keys and values have other inputs."""
        found = []
        for layer in self._layers():
            if layer.kind in ("space", "time"):
                inner, text = self._inner(layer), self.sizes.text_width
                found += [Linear(name, inner, inner, 1) for name in ATTENTION]
                second = text if layer.kind == "space" else inner
                found += [Linear(name, second if name in ("to_k", "to_v") else inner, inner, 1) for name in ATTENTION]
        return found

    @property
    def features(self) -> Sequence[int]:
        """Of the stage in the middle."""
        return [self.sizes.widths[-1]]

    def kept(self, micro: Micro, *, mixed: bool, recompute: bool) -> float:
        """See `Footprint`."""
        layers, unit = list(self._layers()), 2 if mixed else 4
        each = [self._kept(layer, micro, mixed) for layer in layers]
        ends = unit * micro.cells * (2 * self.sizes.width + self.sizes.latents) + unit * micro.cells * self.sizes.width
        if not recompute:
            return ends + sum(each)
        stages: dict[int, float] = {}
        inputs: dict[int, float] = {}
        for layer, own in zip(layers, each, strict=True):
            stages[layer.stage] = stages.get(layer.stage, 0.0) + own
            inputs.setdefault(layer.stage, unit * self._cells(layer, micro) * layer.inputs)
        return ends + sum(inputs.values()) + max(stages.values())

    def flops(self, micro: Micro) -> float:
        """See `Footprint`."""
        ends = 2 * micro.cells * 9 * 2 * self.sizes.latents * self.sizes.width
        return ends + sum(self._flops(layer, micro) for layer in self._layers())

    def _layers(self) -> Iterator[_Layer]:
        """Yield the layers in order, but for the first and the last convolution."""
        widths, stage = self.sizes.widths, 0
        yield _Layer("time", stage, 0, widths[0], _FIRST_HEADS * self.sizes.head_width)
        skips = [widths[0]]
        for level, width in enumerate(widths):
            for _ in range(self.sizes.blocks):
                yield from self._stage(stage := stage + 1, level, skips[-1])
                skips.append(width)
            if level + 1 < len(widths):
                yield _Layer("down", stage := stage + 1, level, width, width)
                skips.append(width)
        middle, stage = (len(widths) - 1, widths[-1]), stage + 1
        for kind in ("res", "space", "time", "res"):
            yield _Layer(kind, stage, middle[0], middle[1], middle[1])
        inputs = widths[-1]
        for level in reversed(range(len(widths))):
            for block in range(self.sizes.blocks + 1):
                yield from self._stage(stage := stage + 1, level, inputs + skips.pop())
                inputs = widths[level]
                if level and block == self.sizes.blocks:
                    yield _Layer("up", stage, level, inputs, inputs)

    def _stage(self, stage: int, level: int, inputs: int) -> Iterator[_Layer]:
        width = self.sizes.widths[level]
        yield _Layer("res", stage, level, inputs, width)
        if level < self.sizes.attending:
            yield _Layer("space", stage, level, width, width)
            yield _Layer("time", stage, level, width, width)

    def _inner(self, layer: _Layer) -> int:
        return layer.outputs if layer.kind == "time" else layer.inputs

    def _cells(self, layer: _Layer, micro: Micro) -> float:
        return micro.cells / 4**layer.level

    def _parameters(self, layer: _Layer) -> int:
        i, o, clock, text = layer.inputs, layer.outputs, 4 * self.sizes.width, self.sizes.text_width
        match layer.kind:
            case "res":
                skip = i * o + o if i != o else 0
                over_time = 4 * (3 * o * o + 3 * o)
                return 2 * i + 2 * o + 9 * i * o + o + clock * o + o + 9 * o * o + o + skip + over_time
            case "space":
                return 2 * i + 2 * (i * i + i) + 8 * i * i + 2 * i - 2 * i * i + 2 * i * text + 12 * i * i + 15 * i
            case "time":
                return 2 * i + i * o + o + o * i + i + 8 * o * o + 2 * o + 12 * o * o + 15 * o
        return 9 * i * o + o

    def _kept(self, layer: _Layer, micro: Micro, mixed: bool) -> float:
        """Bytes, mixed and in float32, a cell and channel, and what a layer's normalisations and weights add."""
        i, o, cells, text = layer.inputs, layer.outputs, self._cells(layer, micro), self.sizes.text_width
        words, heads = self.words * micro.clips, self._inner(layer) // self.sizes.head_width
        match layer.kind:
            case "res":
                maps = (8 * i + 30 * o if i != o else 38 * i) if mixed else (12 * i + 60 * o if i != o else 72 * i)
                weights = 18 * i * o + 42 * o * o + (2 * i * o if i != o else 0) + 8 * self.sizes.width * o
            case "space":
                maps = (62 if mixed else 124) * i + 24 + 8 * heads
                weights = 40 * i * i
            case "time":
                maps = (4 if mixed else 8) * i + (60 if mixed else 124) * o + 24 + 8 * heads
                weights = 40 * o * o + 4 * i * o
            case "down":
                maps, weights = (2 if mixed else 4) * i, 18 * i * i
            case _:
                maps, weights = (8 if mixed else 16) * i, 18 * i * i
        read = words * ((4 if mixed else 8) * i + 4 * text) if layer.kind == "space" else 0
        return cells * maps + read + (weights if mixed else 0)

    def _flops(self, layer: _Layer, micro: Micro) -> float:
        i, o, cells = layer.inputs, layer.outputs, self._cells(layer, micro)
        places = cells / micro.clips / micro.frames
        match layer.kind:
            case "res":
                return 2 * cells * (9 * i * o + 9 * o * o + 12 * o * o + (i * o if i != o else 0))
            case "space":
                words = 2 * self.words * micro.clips * 2 * self.sizes.text_width * i
                return 2 * cells * 20 * i * i + 4 * cells * (places + self.words) * i + words
            case "time":
                return 2 * cells * (2 * i * o + 20 * o * o) + 8 * cells * micro.frames * o
            case "down":
                return 2 * cells / 4 * 9 * i * i
        return 2 * cells * 4 * 9 * i * i
