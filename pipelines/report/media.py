"""The page's players: what drove the videos, its noise and the generated videos, as files beside the page."""

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from equivdm.noise import MotionPlan
from equivdm.noise.colour import noise_colours
from equivdm.seeds import derive_seed
from equivdm.video.frame import Shape
from equivdm.video.sandbox import Sandbox
from equivdm.video.write import write_video
from pipelines.clips import read_clips
from pipelines.evaluation.pairs import Film, Pair
from pipelines.identity import fingerprint
from pipelines.progress import progress
from pipelines.report.material import Material
from pipelines.steps import ITEM_FAULTS
from pipelines.store import Store

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


def write_players(material: Material, clips: Sequence[str], store: Store, out: Store) -> list[list[Player]]:
    """Write the files of the given clips below `out` and return a row of players per clip.

    All of a row have the frames that were measured, at one rate, so that they play in step. A file is named by what
    it shows, so that one that is there is right.
    """
    rows = []
    with closing(Sandbox(material.found.scores.job.decode)) as reader, progress("report", len(clips)) as advance:
        for clip in clips:
            shower = _Shower(material.clips[clip], reader, store, out)
            players = [shower.driving(), *_noise(clip, material, store, out)]
            for method in material.methods:
                pair = method.pairs.get(clip)
                player = Player(method.title, None, method.colour, note="no video")
                players.append(shower.generated(pair, player) if pair else player)
            rows.append(players)
            advance()
    return rows


@dataclass(frozen=True)
class _Shower:
    """Writes the players of a clip, given one of its pairs."""

    pair: Pair
    reader: Sandbox
    store: Store
    out: Store

    def driving(self) -> Player:
        """Return what drove the videos."""
        title = "Driving video"
        try:
            return Player(title, self._shown(self.pair.driving, self.pair.indices, self.pair, self.pair.laid.shape()))
        except ITEM_FAULTS:
            return Player(title, None, note="the source is no longer where it was, or out of reach")

    def generated(self, pair: Pair, player: Player) -> Player:
        """Return a generated video of the clip."""
        try:
            file = self._shown(pair.generated, tuple(range(pair.frames)), pair, pair.laid.size)
        except ITEM_FAULTS as error:
            return Player(player.title, None, player.colour, note=f"cannot be shown: {type(error).__name__}")
        return Player(player.title, file, player.colour)

    def _shown(self, film: Film, indices: tuple[int, ...], pair: Pair, shape: Shape) -> str:
        def write(target: str) -> None:
            with film.open(self.store) as local:
                frames = self.reader.decode(local, list(indices), shape)
            write_video(target, frames, pair.fps)

        shown = {"film": film.content, "indices": list(indices), "laid": asdict(pair.laid), "fps": pair.fps}
        return write_once(self.out, f"{fingerprint(shown)[:20]}.mp4", write)


def _noise(clip: str, material: Material, store: Store, out: Store) -> list[Player]:
    """The noise that a clip of the first set on warped noise began with: its warped part, before the mix."""
    methods = [each for each in material.methods if each.model and each.model.noise.kind == "warped"]
    seeds = [method.seeds[clip] for method in methods if clip in method.seeds]
    pair = material.clips[clip]
    if not (pair.motion and seeds):
        return []
    seed = derive_seed(seeds[0], "render", clip)

    def write(target: str) -> None:
        (row,) = read_clips(store, [clip], ["plan"])
        noise = MotionPlan.from_bytes(row["plan"]).noise(seed, 3)
        # Whole multiples keep a cell's edges sharp in the codec.
        colours = noise_colours(noise).repeat(4, axis=1).repeat(4, axis=2)
        write_video(target, colours, pair.fps * len(colours) / pair.frames)

    try:
        file = write_once(out, f"{clip[:20]}-noise-{seed:x}.mp4", write)
    except ITEM_FAULTS as error:
        return [Player("Warped noise", None, note=f"cannot be shown: {type(error).__name__}")]
    return [Player("Warped noise", file, sharp=True)]


def write_once(out: Store, name: str, write: Callable[[str], None]) -> str:
    """Write a file, whole or not at all, unless it is there. Returns its path relative to the page."""
    path = f"{FOLDER}/{name}"
    if not out.filesystem.exists(out.path(path)):
        with TemporaryDirectory(prefix="equivdm-") as folder:
            local = str(Path(folder, name))
            write(local)
            out.put(local, path)
    return path
