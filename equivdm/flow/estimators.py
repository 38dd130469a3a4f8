"""Which estimator gives the flow, and what decides its result. Loads torch only to build a network."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from equivdm.arrays import Flow, Frames
from equivdm.config import FlowConfig
from equivdm.errors import UsageError
from equivdm.flow.dis import dis_flow
from equivdm.networks.weights import weights_digest

FLOW_VERSIONS = {"dis": 1, "raft": 1, "file": 1}
"""Number of each kind's arithmetic: raise it when the same frames (or files) would give other flow."""


@dataclass(frozen=True)
class Estimator:
    """Flow of a clip from its frames. It may hold a network: build it once a process."""

    function: Callable[[Frames], tuple[Flow, Flow]]

    def __call__(self, frames: Frames) -> tuple[Flow, Flow]:
        """Return the flow from each frame to the next, and from each back to the one before, in pixels.

        Raises ValueError for fewer than 2 frames, or smaller ones than 16x16.
        """
        if len(frames) < 2 or min(frames.shape[1:3]) < 16:
            raise ValueError(f"got frames of shape {frames.shape}: motion needs at least 2 frames of 16x16")
        return self.function(frames)


def build_estimator(config: FlowConfig) -> Estimator:
    """Return the estimator of a config.

    Raises:
        UsageError: for weights that cannot be used, an absent torchvision, and for `file`: its vectors are read
            (`equivdm.flow.files.read_flow`), and no other video has any.
    """
    if config.kind == "file":
        raise UsageError("flow.kind: got file, wanted dis or raft: flow is estimated here, for frames without vectors")
    if config.weights is None:
        return Estimator(partial(dis_flow, preset=config.preset))
    from equivdm.networks.raft import Raft

    return Estimator(Raft(config.weights, config.updates, config.batch))


def flow_identity(config: FlowConfig) -> dict[str, str | int]:
    """Return all that decides the flow of given frames: kind, version, and the kind's own settings and weights.

    Occlusion is no part of it, nor what changes rounding only: the device and the batch. With `file` the vectors are
    part of the input: name them by `equivdm.beside.files_digest`, beside the video.

    Raises:
        UsageError: for weights that cannot be read.
    """
    identity: dict[str, str | int] = {"kind": config.kind, "version": FLOW_VERSIONS[config.kind]}
    if config.kind == "dis":
        identity["preset"] = config.preset
    if config.weights is not None:
        identity |= {"weights": weights_digest(config.weights), "updates": config.updates}
    return identity
