"""RAFT (Teed and Deng, "RAFT: Recurrent All-Pairs Field Transforms for Optical Flow", 2020), as torchvision has it."""

import importlib
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32, UInt8
from torch import Tensor
from torch.nn import functional

from equivdm.arrays import Flow, Frames
from equivdm.errors import UsageError
from equivdm.networks.state import load_state

_STRIDE = 8
"""Pixels a side of a cell of features; the network takes whole cells only."""

_LEAST = 128
"""Pixels a side that the network needs: its coarsest correlations are eight times coarser than its features."""

_NAMES = (
    (r"^module\.", ""),
    (r"^fnet\.", "feature_encoder."),
    (r"^cnet\.", "context_encoder."),
    (r"(layer\d\.\d)\.conv(\d)\.", r"\1.convnormrelu\2.0."),
    (r"(layer\d\.\d)\.norm(\d)\.", r"\1.convnormrelu\2.1."),
    (r"^(feature|context)_encoder\.conv1\.", r"\1_encoder.convnormrelu.0."),
    (r"^(feature|context)_encoder\.norm1\.", r"\1_encoder.convnormrelu.1."),
    (r"^(feature|context)_encoder\.conv2\.", r"\1_encoder.conv."),
    (r"^update_block\.encoder\.convc(\d)\.", r"update_block.motion_encoder.convcorr\1.0."),
    (r"^update_block\.encoder\.convf(\d)\.", r"update_block.motion_encoder.convflow\1.0."),
    (r"^update_block\.encoder\.conv\.", "update_block.motion_encoder.conv.0."),
    (r"^update_block\.gru\.conv([zrq])2\.", r"update_block.recurrent_block.convgru2.conv\1."),
    (r"^update_block\.gru\.conv([zrq])1?\.", r"update_block.recurrent_block.convgru1.conv\1."),
    (r"^update_block\.mask\.0\.", "mask_predictor.convrelu.0."),
    (r"^update_block\.mask\.2\.", "mask_predictor.conv."),
)
"""From the names of the authors' release to torchvision's, one after another; torchvision's own match none."""

Pair = Float32[Tensor, "pairs 3 height width"]
"""RGB, -1 to 1."""


class Raft:
    """Optical flow both ways of a clip. Holds the network: build it once a process.

    On a GPU it computes in bfloat16 where autocast holds that safe, on a CPU in float32.
    """

    def __init__(self, weights: str, updates: int = 12, batch: int = 4, device: str | None = None) -> None:
        """Load the network; the weights' shapes say whether it is the small or the large one.

        Args:
            weights: a .safetensors or .pth with torchvision's names, or with those of the authors' release.
            updates: recurrent updates; fewer are faster, more are for large motion.
            batch: pairs of frames in one pass; decides the memory.
            device: of torch; the GPU where there is one, if none is given.

        Raises:
            UsageError: where torchvision is absent, or the weights are not RAFT's.
        """
        self._device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self._updates, self._batch = updates, batch
        state = torchvision_names(load_state(weights))
        network = _network("mask_predictor.conv.weight" in state)
        _check(weights, state, network.state_dict())
        network.load_state_dict(state)
        self._network = network.to(self._device).eval()

    def __call__(self, frames: Frames) -> tuple[Flow, Flow]:
        """Return the flow from each frame to the next, and from each back to the one before, in pixels.

        Frames whose shorter side is below 128 px are enlarged by a whole number, and the flow reduced again.

        Raises:
            ValueError: for fewer than 2 frames.
        """
        steps = len(frames) - 1
        if steps < 1:
            raise ValueError(f"frames: got {len(frames)}, wanted at least 2")
        starts = [*range(steps), *range(1, steps + 1)]
        ends = [*range(1, steps + 1), *range(steps)]
        video = torch.tensor(frames).permute(0, 3, 1, 2).contiguous()
        parts = [slice(k, k + self._batch) for k in range(0, 2 * steps, self._batch)]
        flow = np.concatenate([self._flow(video[starts[part]], video[ends[part]]) for part in parts])
        return flow[:steps], flow[steps:]

    @torch.inference_mode()
    def _flow(
        self, first: UInt8[Tensor, "pairs 3 height width"], second: UInt8[Tensor, "pairs 3 height width"]
    ) -> Flow:
        height, width = first.shape[-2:]
        factor = max(1, -(-_LEAST // min(height, width)))
        pair = [self._prepared(each, factor) for each in (first, second)]
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._device.type == "cuda"):
            flow = self._network(*pair, num_flow_updates=self._updates)[-1].float()
        top, left = (
            (padded - factor * side) // 2 for padded, side in zip(flow.shape[-2:], (height, width), strict=True)
        )
        flow = flow[..., top : top + factor * height, left : left + factor * width]
        flow = functional.avg_pool2d(flow, factor) / factor
        return flow.permute(0, 2, 3, 1).contiguous().cpu().numpy()

    def _prepared(self, pictures: UInt8[Tensor, "pairs 3 height width"], factor: int) -> Pair:
        """Scale bytes to -1..1, enlarge, and repeat the border on all sides up to whole cells."""
        scaled = pictures.to(self._device).float() / 127.5 - 1
        if factor > 1:
            scaled = functional.interpolate(scaled, scale_factor=factor, mode="bicubic", align_corners=False)
        down, across = (-side % _STRIDE for side in scaled.shape[-2:])
        border = (across // 2, across - across // 2, down // 2, down - down // 2)
        return functional.pad(scaled, border, mode="replicate")


def torchvision_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the same tensors under torchvision's names.

    The authors' release (princeton-vl/RAFT) has other names, each behind `module.`; torchvision's own stay as they are.
    """
    named: dict[str, Tensor] = {}
    for old, tensor in state.items():
        if re.search(r"layer\d\.\d\.norm3\.", old):
            continue  # a second name for the tensors of `downsample.1`
        name = old
        for pattern, new in _NAMES:
            name = re.sub(pattern, new, name)
        named[name] = tensor
    return named


def _network(large: bool) -> Any:
    # Any: torchvision is in no environment but those with a GPU, and its types are not to be had.
    try:
        models = importlib.import_module("torchvision.models.optical_flow")
    except ModuleNotFoundError as error:
        raise UsageError(
            f"flow.kind=raft: torchvision is not installed: pip install the torchvision that was built for torch "
            f"{torch.__version__}, or use flow.kind=dis"
        ) from error
    return (models.raft_large if large else models.raft_small)(weights=None, progress=False)


def _check(path: str, state: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> None:
    shapes = [{name: tuple(tensor.shape) for name, tensor in each.items()} for each in (state, wanted)]
    differ = sorted({name for name, _ in shapes[0].items() ^ shapes[1].items()})
    if differ:
        raise UsageError(
            f"weights: {path} is not RAFT's: {len(differ)} tensors are missing, unknown or of another shape, such as "
            f"{differ[0]!r}; give the state dict of torchvision's raft_small or raft_large, or of the authors' release"
        )
