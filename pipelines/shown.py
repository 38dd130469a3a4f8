"""What a clip gives a denoiser beside its latents: caption and dense condition, and what stands for none of either."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from equivdm.backbones import backbone_of
from equivdm.config import BackboneConfig
from equivdm.errors import UsageError
from pipelines.clips import Files, locate, read_parts
from pipelines.schemas import from_tensor
from pipelines.store import Store
from pipelines.tables import Row

if TYPE_CHECKING:
    import torch

    from equivdm.backbones.base import Conditions

COLUMNS = ("text", "empty", "control", "hint", "blank")
"""Of the stages, as `pipelines.clips.locate` takes them."""


class Shown(NamedTuple):
    """What a denoiser may be told of a clip. Arrays are as they are stored."""

    text: np.ndarray
    """int64 [words] or float16 [words, features], up to the caption's end."""
    empty: np.ndarray
    """The same of the empty caption."""
    control: np.ndarray | None
    """uint8 [frames, height, width], or [.., 3] in colour; float16 [32, time, h, w], what stays and what is repainted;
    None: no form."""
    nothing: np.ndarray | None
    """What stands for no dense condition, of the same form."""
    fps: float

    def given(self, text: bool, control: bool) -> tuple[np.ndarray, np.ndarray | None]:
        """Return caption and dense condition, each as it is or what stands for none."""
        return self.text if text else self.empty, self.control if control else self.nothing


def check_colour(store: Store, clips: Sequence[Row], config: BackboneConfig) -> None:
    """Raise UsageError where clips have their condition in colour, and a network takes grey ones only.

    One clip is read: those of a selection are of one preprocess job.
    """
    if backbone_of(config).takes_colour:
        return
    (files,) = locate(store, clips[:1], ("control",))
    if len(read_parts(store, files, ("control",))["control"]["shape"]) == 4:
        raise UsageError(
            f"backbone.control_channels: got 1 for clips with a condition in colour, such as {clips[0]['path']}, "
            "wanted 3: train a network with backbone.control_channels=3, or preprocess with a grey control"
        )


def columns_of(files: Files) -> tuple[str, ...]:
    """Return which of `COLUMNS` are to be read of a clip: where a condition is shown as latents, not its pixels."""
    return tuple(name for name in COLUMNS if name != "control" or "blanks" not in files)


def shown(row: Row, fps: float) -> Shown:
    """Return what a clip has to show, given these columns as `pipelines.clips.read_parts` reads them."""
    if row.get("blank"):
        blank = from_tensor(row["blank"])
        hint = from_tensor(row["hint"]) if row["hint"] else blank
        control, nothing = np.concatenate([blank, hint]), np.concatenate([blank, blank])
    else:
        control = from_tensor(row["control"]) if row["control"] else None
        nothing = None if control is None else np.zeros_like(control)
    return Shown(from_tensor(row["text"]), from_tensor(row["empty"]), control, nothing, fps)


def conditions_of(clips: Sequence[Shown], text: Sequence[bool], control: Sequence[bool]) -> "Conditions":
    """Return the conditions of a batch: of each clip its caption and dense condition, or what stands for none.

    Captions are padded with zeros to the longest. All clips have controls of one form and size, or none.
    """
    import torch
    from torch.nn.utils.rnn import pad_sequence

    from equivdm.backbones.base import Conditions

    given = [clip.given(*kept) for clip, *kept in zip(clips, text, control, strict=True)]
    texts = pad_sequence([_tensor(caption) for caption, _ in given], batch_first=True)
    controls = [_tensor(image) for _, image in given if image is not None]
    rates = torch.tensor([clip.fps for clip in clips])
    return Conditions(texts, torch.stack(controls) if controls else None, rates)


def _tensor(array: np.ndarray) -> "torch.Tensor":
    """Stored halves become float32."""
    import torch

    return torch.from_numpy(array.astype(np.float32) if array.dtype == np.float16 else array.copy())
