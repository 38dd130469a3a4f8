"""Many small kernels as one launch."""

from collections.abc import Callable

import torch

from equivdm.noise.gpu.kernels import on


class Replay:
    """Calls a function of device work; from the second call on as one recorded graph, which spares the launches.

    The function must do the same on the same tensors each time, and read nothing back. The first call compiles what
    there is to compile. Where the device has no graphs, it is called each time.
    """

    def __init__(self, function: Callable[[], None], device: torch.device) -> None:
        self._function = function
        self._device = device
        self._called = False
        self._graph: torch.cuda.CUDAGraph | None = None

    def __call__(self) -> None:
        if self._device.type != "cuda" or not self._called:
            self._called = True
            self._function()
            return
        with on(self._device):
            if self._graph is None:
                self._graph = torch.cuda.CUDAGraph()
                with torch.cuda.graph(self._graph):
                    self._function()
            self._graph.replay()
