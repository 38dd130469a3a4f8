"""The memory of a run's processes over a long video of large frames."""

import threading
import time
from collections import defaultdict
from fractions import Fraction
from pathlib import Path

import psutil

from benchmarks.figures import Figure
from benchmarks.throughput import Size, moving_pictures
from equivdm.config import ClipConfig
from pipelines.config import PreprocessJob
from pipelines.preprocess import run
from pipelines.settings import RayConfig, SourceConfig, StoreConfig

FPS = 5
WINDOWS = 3
GIB = 2**30


def long_video(place: Path, seconds: int, size: Size, clip: tuple[int, Size]) -> list[Figure]:
    """Measure the largest process of a run over one long video: probe, shots, and a few windows of `clip` frames."""
    videos = place / "videos"
    videos.mkdir()
    write_long_video(videos / "long.mp4", seconds, size)
    frames, (height, width) = clip
    job = PreprocessJob(
        source=SourceConfig(root=str(videos)),
        store=StoreConfig(root=str(place / "store")),
        ray=RayConfig(cpus=2),
        clip=ClipConfig(frames=frames, height=height, width=width, max_windows=WINDOWS),
    )
    with Peaks() as peaks:
        started = time.monotonic()
        summary = run(job)
        took = time.monotonic() - started
    if summary.counts["done"] != WINDOWS:
        raise RuntimeError(f"got {summary.counts} ({summary.failures[:1]}), wanted {WINDOWS} clips done")
    what = f"{seconds // 60} min of {size[0]}x{size[1]}, windows of {height}x{width}x{frames}"
    floor = f"a worker that waits {peaks.gib('ray::IDLE'):.2f} GiB"
    return [
        Figure("d", f"peak GiB of a worker, {what}", peaks.gib("ray::"), 1.5, floor=floor),
        Figure("d", "peak GiB of its decoder process", peaks.gib("decoder"), 1.5),
        Figure("d", "seconds of the run", took),
    ]


def write_long_video(path: Path, seconds: int, size: Size) -> None:
    """Write an H.264 video of `FPS` frames a second, a key frame every ten seconds, as quickly as x264 can."""
    import av

    drawn = moving_pictures(0, 50, size)
    pictures = [av.VideoFrame.from_ndarray(one, format="rgb24").reformat(format="yuv420p") for one in drawn]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(FPS))
        stream.height, stream.width, stream.pix_fmt = *size, "yuv420p"
        stream.options = {"preset": "ultrafast", "g": str(10 * FPS)}
        # There and back again, so that no shot ends.
        course = [*range(50), *range(48, 0, -1)]
        for number in range(seconds * FPS):
            picture = pictures[course[number % len(course)]]
            picture.pts, picture.time_base = number, Fraction(1, FPS)
            container.mux(stream.encode(picture))
        container.mux(stream.encode())


class Peaks:
    """Samples the resident sets of all processes that this one has started, by name, while its block runs."""

    def __init__(self, every_s: float = 0.1) -> None:
        self._bytes: dict[str, int] = defaultdict(int)
        self._every_s = every_s
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> "Peaks":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def gib(self, start: str) -> float:
        """Return the largest of the processes whose name begins so, in GiB."""
        return max((size for name, size in self._bytes.items() if name.startswith(start)), default=0) / GIB

    def _sample(self) -> None:
        while not self._ended.wait(self._every_s):
            for process in psutil.Process().children(recursive=True):
                try:
                    name = _name(process.cmdline())
                    self._bytes[name] = max(self._bytes[name], process.memory_info().rss)
                except psutil.Error:
                    continue  # it has just ended


def _name(command: list[str]) -> str:
    return "decoder" if "equivdm.video.worker" in command else " ".join(command[:1])
