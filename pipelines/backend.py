"""Ray Train's backend for torch, with workers that end a training after a step where they get SIGTERM."""

from typing import Any

from ray.train.backend import BackendConfig
from ray.train.torch import TorchConfig

from pipelines.notices import listen_for_sigterm


class _Listening(TorchConfig().backend_cls):
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
