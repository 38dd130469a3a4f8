"""What the validations of a training left in the store: a video a clip and its figures, step by step."""

import posixpath
import tempfile
from pathlib import Path

from pydantic import BaseModel, ConfigDict, computed_field

from pipelines.models import VALIDATION, model_folder
from pipelines.store import Store

FIGURES = "figures.json"
"""File of a validation's figures, beside its videos. It is written last: where it is, they are."""


class _Record(BaseModel):
    # A frame that equals the one before has an infinite PSNR, for which JSON has no number.
    model_config = ConfigDict(frozen=True, extra="ignore", ser_json_inf_nan="constants")


class ValidatedClip(_Record):
    """What a model made of one clip."""

    key: str
    """Of the clip."""
    file: str
    """The video, in the folder of the step."""
    figures: dict[str, float]
    """The metrics, and `loss` where it says something."""


class ValidationRecord(_Record):
    """One validation."""

    step: int
    """Steps done."""
    clips: tuple[ValidatedClip, ...]

    @computed_field
    @property
    def figures(self) -> dict[str, float]:
        """Means over the clips."""
        names = self.clips[0].figures
        return {name: sum(clip.figures[name] for clip in self.clips) / len(self.clips) for name in names}


def step_folder(key: str, step: int) -> str:
    """Return where a validation of a model's key lies, below the store's root."""
    return f"{model_folder(key)}/{VALIDATION}/step_{step}"


def write_validation(store: Store, key: str, record: ValidationRecord) -> None:
    """Write the figures of a validation, whose videos are there already."""
    with tempfile.TemporaryDirectory(prefix="equivdm-") as folder:
        local = Path(folder, FIGURES)
        local.write_text(record.model_dump_json(indent=2), encoding="utf-8")
        store.put(str(local), step_folder(key, record.step), FIGURES)


def read_validations(store: Store, key: str) -> list[ValidationRecord]:
    """Return the validations of a model's key by step, of one that is in training too; none where it had none."""
    files = store.filesystem.find(store.path(model_folder(key), VALIDATION))
    found = [store.filesystem.cat_file(file) for file in files if posixpath.basename(file) == FIGURES]
    return sorted(map(ValidationRecord.model_validate_json, found), key=lambda record: record.step)
