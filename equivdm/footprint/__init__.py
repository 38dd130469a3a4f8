"""What a network takes, in closed form from its sizes: weights, bytes that a step keeps, arithmetic. No torch.

Bytes kept are those that autograd holds between the forward and the backward pass of one micro-batch, in float32, or
under bfloat16 autocast with float32 weights, whose bfloat16 copies are then kept too. They were counted tensor by
tensor in the networks as they are; the tests count again.
"""

from equivdm.footprint.base import ATTENTION, Footprint, Linear, Micro, adapter_parameters, seen_blocks
from equivdm.footprint.tiny import TinyFootprint
from equivdm.footprint.videocrafter2 import VideoCrafter2Footprint
from equivdm.footprint.wan import WanFootprint

__all__ = [
    "ATTENTION",
    "Footprint",
    "Linear",
    "Micro",
    "TinyFootprint",
    "VideoCrafter2Footprint",
    "WanFootprint",
    "adapter_parameters",
    "seen_blocks",
]
