"""What experiments without a cluster have made: a folder, a file an item, each whole or absent."""

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from equivdm.findings.trials import Trial
from pipelines.reproducing.summary import Ended

if TYPE_CHECKING:
    from equivdm.study.training import State


@dataclass(frozen=True)
class Shelf:
    """The folder."""

    root: Path

    @property
    def clips(self) -> Path:
        """Folder of the generated clips."""
        return self.root / "clips"

    @property
    def photographs(self) -> Path:
        """Folder of the photographs that clips are made of, where packages are absent."""
        return self.root / "photographs"

    def has(self, key: str) -> bool:
        """Whether an item is done."""
        return self._notes(key).exists()

    def put(self, key: str, ended: Ended, state: "State | None" = None) -> None:
        """Keep what an item came to: a model's weights come first."""
        if state is not None:
            from safetensors.torch import save

            _write(self._weights(key), save({name: value.contiguous() for name, value in state.items()}))
        told = {"seconds": ended.seconds, "machine": ended.machine, "date": ended.date, "notes": list(ended.notes)}
        told["numbers"] = [number._asdict() for number in ended.numbers]
        _write(self._notes(key), json.dumps(told).encode())

    def begin(self, key: str) -> None:
        """Note that an item is begun once more."""
        _write(self.begun(key), str(self.attempts(key) + 1).encode())

    def attempts(self, key: str) -> int:
        """Return how many calls have begun an item."""
        return int(self.begun(key).read_text()) if self.begun(key).exists() else 0

    def begun(self, key: str) -> Path:
        """Return the file of that number."""
        return self.root / "items" / f"{key}.attempts"

    def weights(self, key: str) -> "State":
        """Return a model's weights."""
        from safetensors.torch import load_file

        return load_file(self._weights(key))

    def ended(self, keys: Iterable[str]) -> dict[str, Ended]:
        """Return those of the items that are done."""
        return {key: _ended(json.loads(self._notes(key).read_text())) for key in keys if self.has(key)}

    def _weights(self, key: str) -> Path:
        return self.root / "models" / f"{key}.safetensors"

    def _notes(self, key: str) -> Path:
        return self.root / "items" / f"{key}.json"


def _ended(told: dict[str, Any]) -> Ended:
    return Ended(**{**told, "numbers": [Trial(**number) for number in told["numbers"]]})


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(f".{os.getpid()}.partial")
    part.write_bytes(data)
    part.replace(path)
