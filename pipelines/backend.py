"""Ray Train's backend for torch, with workers that end a training after a step where they get SIGTERM, and that reach
each other whatever their machines' names stand for."""

import os
from typing import Any

import psutil
import ray
from ray.train.backend import BackendConfig
from ray.train.torch import TorchConfig

from pipelines.notices import listen_for_sigterm


def interface_of(address: str) -> str | None:
    """Return the name of this machine's network interface that has an address."""
    interfaces = psutil.net_if_addrs().items()
    return next((name for name, known in interfaces if any(each.address == address for each in known)), None)


def meet_at_node_address() -> None:
    """Have gloo listen where Ray reaches this node, unless it was told where.

    Gloo listens at what the machine's name stands for, which on many (Debian's 127.0.1.1) is loopback: workers of other
    nodes then wait for it in vain.
    """
    if interface := interface_of(ray.util.get_node_ip_address()):
        os.environ.setdefault("GLOO_SOCKET_IFNAME", interface)


class _Listening(TorchConfig().backend_cls):
    def on_start(self, worker_group: Any, backend_config: TorchConfig) -> None:
        worker_group.execute(meet_at_node_address)
        super().on_start(worker_group, backend_config)

    def on_training_start(self, worker_group: Any, backend_config: BackendConfig) -> None:
        super().on_training_start(worker_group, backend_config)
        # Runs in the workers' main threads, where alone signals can be caught; the training itself has another one.
        worker_group.execute(listen_for_sigterm)


class ListeningTorchConfig(TorchConfig):
    """As its base, with listening workers."""

    @property
    def backend_cls(self) -> type[_Listening]:
        """The class that sets the workers up."""
        return _Listening
