"""The page's players: the driving clip, its noise and the rendered videos, as files beside the page."""

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from botocore.exceptions import BotoCoreError

from equivdm.config import DecodeConfig
from equivdm.errors import ItemError
from equivdm.noise import MotionPlan
from equivdm.noise.colour import noise_colours
from equivdm.seeds import derive_seed
from equivdm.video.sandbox import Sandbox
from equivdm.video.write import write_video
from pipelines.clips import read_clips
from pipelines.progress import progress
from pipelines.report.material import Material
from pipelines.settings import AccessConfig
from pipelines.store import Store, local_file, open_url
from pipelines.tables import Row

FOLDER = "media"
"""Folder of the players' files, beside the page."""


@dataclass(frozen=True)
class Player:
    """One picture of a row. `file` is None where there is nothing to play, and `note` says why."""

    title: str
    file: str | None
    colour: int | None = None
    """Number of the method's colour."""
    sharp: bool = False
    """Enlarge cells as squares, as noise wants it."""
    note: str = ""


def write_players(
    material: Material, clips: Sequence[Row], store: Store, out: Path, access: AccessConfig
) -> list[list[Player]]:
    """Write the files of the given clips below `out` and return a row of players per clip.

    A file is named by the key of what it shows, so that one that is there is right. `access` is that of the sources.
    """
    (out / FOLDER).mkdir(parents=True, exist_ok=True)
    rows = []
    with closing(Sandbox(DecodeConfig())) as reader, progress("report", len(clips)) as advance:
        for clip in clips:
            own = [_rendered(method.videos.get(clip["key"]), store, out) for method in material.methods]
            rendered = [
                Player(method.title, file, method.colour, note="" if file else "not rendered")
                for method, file in zip(material.methods, own, strict=True)
            ]
            rows.append([_input(clip, access, reader, out), _noise(clip, material, store, out), *rendered])
            advance()
    return rows


def _input(clip: Row, access: AccessConfig, reader: Sandbox, out: Path) -> Player:
    source: str = clip["source"]
    filesystem, path = open_url(source if source.startswith("/") else f"s3://{source}", access)

    def write(target: str) -> None:
        with local_file(filesystem, path) as local:
            frames = reader.decode(local, clip["indices"], (clip["height"], clip["width"]))
        write_video(target, frames, clip["fps"])

    try:
        return Player("Input video", write_once(out, f"{clip['key'][:20]}-input.mp4", write))
    except (ItemError, OSError, BotoCoreError):
        return Player("Input video", None, note="the source is no longer where it was, or out of reach")


def _noise(clip: Row, material: Material, store: Store, out: Path) -> Player:
    """The noise that the first set on warped noise began with: its warped part, before the mix."""
    seeds = (json.loads(video["config"])["seed"] for video in _warped_videos(clip, material))
    seed = derive_seed(next(seeds, 0), "render", clip["key"])

    def write(target: str) -> None:
        (row,) = read_clips(store, [clip["key"]], ["plan"])
        noise = MotionPlan.from_bytes(row["plan"]).noise(seed, 3)
        # Whole multiples keep a cell's edges sharp in the codec.
        colours = noise_colours(noise).repeat(4, axis=1).repeat(4, axis=2)
        write_video(target, colours, clip["fps"] * len(colours) / clip["frames"])

    return Player("Warped noise", write_once(out, f"{clip['key'][:20]}-noise-{seed:x}.mp4", write), sharp=True)


def _warped_videos(clip: Row, material: Material) -> Iterator[Row]:
    for method in material.methods:
        if method.model.noise.kind == "warped" and clip["key"] in method.videos:
            yield method.videos[clip["key"]]


def _rendered(video: Row | None, store: Store, out: Path) -> str | None:
    if video is None:
        return None

    def write(target: str) -> None:
        with store.local_copy(video["file"]) as local:
            shutil.copyfile(local, target)

    try:
        return write_once(out, f"{video['key'][:20]}.mp4", write)
    except OSError:
        return None


def write_once(out: Path, name: str, write: Callable[[str], None]) -> str:
    """Write a file, whole or not at all, unless it is there. Returns its path relative to the page."""
    path = out / FOLDER / name
    if not path.exists():
        partial = path.with_name(f".{uuid4().hex}.mp4")
        try:
            write(str(partial))
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
    return f"{FOLDER}/{name}"
