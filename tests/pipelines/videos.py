"""Small folders of videos for tests."""

from pathlib import Path

from equivdm.config import ClipConfig
from equivdm.video.synthetic import render_scene
from equivdm.video.write import write_video
from pipelines.config import PreprocessJob
from pipelines.settings import RayConfig, SourceConfig, StoreConfig

CLIP = ClipConfig(frames=6, height=32, width=32)


def write_scene(path: Path, seed: int, frames: int = 13) -> None:
    """A synthetic scene as mp4, with its caption beside it."""
    scene = render_scene(seed, frames=frames, height=48, width=64)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_video(str(path), scene.frames, 25.0)
    path.with_suffix(".txt").write_text(scene.caption)


def preprocess_job(videos: str | Path, root: str | Path, **changes: object) -> PreprocessJob:
    """A preprocess job at test size on two CPUs."""
    values = {
        "source": SourceConfig(root=str(videos)),
        "store": StoreConfig(root=str(root), commit_every_s=0.1),
        "ray": RayConfig(cpus=2, object_store_mib=128),
        "clip": CLIP,
    }
    return PreprocessJob.model_validate(values | changes)
