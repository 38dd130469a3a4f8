"""A generated video and what it is measured against, wherever either of them comes from."""

import json
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from equivdm.errors import DamagedVideo
from equivdm.render_config import FrameConfig
from equivdm.video.crop import Crop
from equivdm.video.frame import Fit, Shape, Size, fit
from pipelines.identity import content_id, item_key
from pipelines.settings import AccessConfig, SourceConfig
from pipelines.sources import source_file
from pipelines.store import Store


@dataclass(frozen=True)
class Film:
    """A video file."""

    source: str
    """Path below the store's root, or as the filesystem of its source wants it."""
    content: str
    """Hash that names it."""
    place: str = ""
    """The source that it is opened with, as JSON; none for a file of the store."""
    checked: bool = False
    """Whether `content` is the sha256 of a file that somebody else may have changed since."""

    @contextmanager
    def open(self, store: Store) -> Iterator[str]:
        """Give a local path with its bytes.

        Raises AbsentVideo where it is not there, DamagedVideo where its bytes are no longer those that are named.
        """
        with self._copy(store) as local:
            if self.checked:
                with open(local, "rb") as stream:
                    if content_id(stream) != self.content:
                        raise DamagedVideo(
                            f"{self.source} has changed since it was read first: run again, and make again what was "
                            "made from it"
                        )
            yield local

    def _copy(self, store: Store) -> AbstractContextManager[str]:
        if not self.place:
            return store.local_copy(self.source)
        return source_file(SourceConfig.model_validate_json(self.place), self.source)


def place_of(root: str, access: AccessConfig) -> str:
    """Return how the files of a source are reached, as JSON."""
    known = access.model_dump(include=set(AccessConfig.model_fields), exclude_defaults=True)
    return json.dumps({"root": root, **known}, sort_keys=True)


@dataclass(frozen=True)
class Laid:
    """How the driving video's pictures are brought to the size of the generated ones."""

    size: Size
    """Of the generated video: height and width."""
    display: Size | None = None
    """Of the driving video as displayed; None where its middle covers the frame, as in clips."""
    frame: str = ""
    """Settings of the frame (FrameConfig), as JSON."""
    multiple: int = 1
    """Of the model's frames."""

    def shape(self) -> Shape:
        """Return what the decoder is to make of a picture of the driving video."""
        if self.display is None:
            return self.size
        config = FrameConfig.model_validate_json(self.frame)
        found = fit(self.display, config, self.multiple)
        if config.output == "model":
            return found
        return Fit(self.display, found.part, found.output, Crop(0, 0, *found.output), found.output)


@dataclass(frozen=True)
class Pair:
    """A generated video and what it is measured against, frame by frame."""

    name: str
    """Of the set or system."""
    path: str
    """Of the generated video; of one rendered here, of its driving video."""
    clip: str
    """Names what drove it: videos of one clip are compared."""
    driven_by: str
    """Path of the driving video, for readers."""
    caption: str
    fps: float
    """Of the frames that are measured."""
    frames: int
    """That are measured, the first ones."""
    length: int
    """Of the whole generated video."""
    generated: Film
    driving: Film
    reference: Film
    """What it should look like; the driving video where nothing else is given."""
    indices: tuple[int, ...]
    """Frames of the driving video that belong to those measured."""
    laid: Laid
    laid_reference: Laid
    no_reference: str = ""
    """Why there is no reference, where one was asked for and none can be had."""
    motion: Mapping[str, str] = field(default_factory=dict)
    """Keys of the stored motion, by stage; none where it is estimated."""
    window: int = 0
    """Of a clip."""
    sampling: Mapping[str, float] = field(default_factory=dict)
    """Metrics that were found while it was sampled."""
    video: str = ""
    """Key of its row in `videos`, where it was rendered here."""


@dataclass(frozen=True)
class Misfit:
    """A generated video that cannot be measured, and why."""

    name: str
    path: str
    key: str
    """Names it and the reason."""
    error: str
    """Class of the failure."""
    message: str
    final: bool
    """Whether trying again cannot help."""
    passing: bool = False
    """Whether the reason lies in the hour."""
    probe: str = ""
    """Key of the row of `probes` that says so, if any."""


def stem_of(path: str) -> str:
    """Return a path without its ending: what a generated video and its driving video have in common."""
    return str(PurePosixPath(path).with_suffix("")) if PurePosixPath(path).suffix else path


def clip_name(content: str, path: str) -> str:
    """Return what names a whole driving video: its content, and its file's name, since copies are two clips."""
    return item_key(content, PurePosixPath(stem_of(path)).name)
