"""The file of a rendered video: written beside its computing, measured, and put into the store whole."""

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from equivdm.arrays import Frames
from equivdm.backbones import backbone_of
from equivdm.video.timing import Timing
from equivdm.video.write import VideoWriter
from pipelines.config import RenderJob
from pipelines.manifest import sandbox
from pipelines.models import ModelRecord
from pipelines.rendering.identity import settings_of
from pipelines.rendering.layout import fit_of, takes_of
from pipelines.rendering.measure import Meter, Scene
from pipelines.schemas import from_tensor
from pipelines.sources import source_file
from pipelines.steps import settle, step
from pipelines.store import Store
from pipelines.tables import Row
from pipelines.tally import Reporter


def put_video(row: Row, job: RenderJob, model: ModelRecord, store: Store, scenes: Iterable[Scene]) -> Row:
    """Write the shots of a driving video's rendering, with its time stamps and its sound.

    Returns the columns of its row that tell of the file, and what was measured on the way.
    """
    assert job.source is not None
    shown, meter = fit_of(row, job, model.backbone), Meter()
    with source_file(job.source, row["source"]) as source:
        timing = sandbox(job.decode).probe(source).timing
        with writing(row, job, store, shown.output, timing, source) as (write, about):
            for scene in scenes:
                meter.watch(scene, shown.size, lambda part: write(shown.undo(part)))
    return {**about, "steps": settings_of(job, model)[1].steps, "metrics": meter.metrics()}


@contextmanager
def writing(
    row: Row, job: RenderJob, store: Store, size: tuple[int, int], timing: Timing, source: str | None = None
) -> Iterator[tuple[Callable[[Frames], None], Row]]:
    """Give what takes the frames of a video, part by part, and the columns of its file, which are known afterwards.

    The file lies in the store, whole, when the block ends: under the key of `row`, with the sound of `source`, if any.
    Parts are encoded in a thread while the next one is computed.
    """
    about: Row = {"height": size[0], "width": size[1]}
    with tempfile.TemporaryDirectory(prefix="equivdm-") as folder:
        local, sound = Path(folder, f"video{job.output.suffix}"), source if job.output.audio else None
        with (
            VideoWriter(str(local), job.output, size, timing, audio_from=sound) as writer,
            beside(writer.write) as write,
        ):
            about["sound"] = writer.sound
            yield write, about
        with local.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        # Another run, on another kind of machine, may write other bytes: it must not put them over those of the row.
        file = f"renders/{job.name}/{row['key']}-{digest[:16]}{job.output.suffix}"
        store.put(str(local), file)
        about |= {"file": file, "sha256": digest, "bytes": os.path.getsize(local)}


def finish_video(row: Row, job: RenderJob, model: ModelRecord, store: Store, reporter: Reporter) -> Row:
    """Write the frames of a short video, and settle the item, however it ended."""
    settled = settle(_write(row, job, model, store, reporter=reporter), store.table("videos"))
    reporter.flush()
    return settled


@step("write")
def _write(row: Row, job: RenderJob, model: ModelRecord, store: Store) -> Row | None:
    if row["whole"]:
        return None
    (take,) = takes_of(row, job, backbone_of(model.backbone).geometry)
    motion = [] if row["motion"] is None else [row["motion"]]
    return put_video(row, job, model, store, [Scene(take, [from_tensor(row["pixels"])], motion)])


@contextmanager
def beside(work: Callable[[Frames], None]) -> Iterator[Callable[[Frames], None]]:
    """Give what hands a part to a thread, once that is done with the one before."""
    last: list[Future[None]] = []
    with ThreadPoolExecutor(1, thread_name_prefix="encoder") as pool:

        def hand_on(part: Frames) -> None:
            while last:
                last.pop().result()
            last.append(pool.submit(work, part))

        yield hand_on
        for future in last:
            future.result()
