"""Settings of rendered videos: the model's frames beside the source's, and the files. Pydantic only."""

from typing import Literal

from pydantic import Field, model_validator

from equivdm.config import Config
from equivdm.errors import UsageError


class FrameConfig(Config):
    """The size at which a model sees a source video, and the size of what is written."""

    height: int | None = Field(default=None, ge=1)
    """Height of the model's frames in pixels. Where only one of the two is given, the other follows the source's shape;
    where none is, they have the source's displayed size. What follows is rounded to the model's multiple: down with
    `crop`, up with `pad`, to the nearest with `stretch`."""
    width: int | None = Field(default=None, ge=1)
    """Width likewise."""
    rule: Literal["crop", "pad", "stretch"] = "crop"
    """What is done about another shape. `crop`: the picture covers the frame, its middle is shown; `pad`: all of it is
    shown, and the border repeats its outermost pixels; `stretch`: all of it, in the frame's shape."""
    output: Literal["model", "source"] = "model"
    """Size of the rendered video. `model`: as sampled; `source`: scaled to the source's displayed size, without the
    border that `pad` made, and without what `crop` left out."""

    def check_multiple(self, multiple: int) -> None:
        """Raise UsageError where a given size is no multiple of the model's."""
        for name, value in (("height", self.height), ("width", self.width)):
            if value is not None and value % multiple:
                below = value // multiple * multiple
                choices = f"{below} or {below + multiple}" if below else f"{multiple}"
                raise UsageError(f"{name}: got {value}, wanted a multiple of {multiple} for this model: take {choices}")


class OutputConfig(Config):
    """How a rendered video is written."""

    codec: Literal["h264", "h265", "lossless"] = "h264"
    """`h264` and `h265`: mp4, 8 bits, colour at half the resolution; `lossless`: FFV1 in mkv, every pixel as it was
    rendered, some forty times as large."""
    crf: int = Field(default=18, ge=0, le=51)
    """Of `h264` and `h265`: quality, 0 (best) to 51 (worst). Their coders' own defaults are 23 and 28."""
    preset: Literal[
        "ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow", "placebo"
    ] = "medium"
    """Of `h264` and `h265`: slower ones make smaller files."""
    audio: bool = True
    """Carry the source's sound over. It is copied, or coded anew as AAC where an mp4 cannot hold it."""

    @property
    def container(self) -> Literal["mp4", "matroska"]:
        """FFmpeg's name of the file's format."""
        return "matroska" if self.codec == "lossless" else "mp4"

    @property
    def suffix(self) -> str:
        """How the file's name ends."""
        return ".mkv" if self.codec == "lossless" else ".mp4"


class WindowConfig(Config):
    """The windows in which a long video is sampled. A shorter one has a single window of its own length."""

    frames: int = Field(default=16, ge=2)
    """Frames of a window: best those that the model was trained with."""
    overlap: int = Field(default=4, ge=0)
    """Frames that a window shares with the one before, at least: there one goes over into the other."""

    @model_validator(mode="after")
    def _windows_go_on(self) -> "WindowConfig":
        if self.overlap >= self.frames:
            raise ValueError(
                f"overlap: got {self.overlap} frames of windows of {self.frames}, wanted fewer: change one of them"
            )
        return self
