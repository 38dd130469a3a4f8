"""A distillation with all of it on Ray: killed in the middle and continued bitwise, then rendered as it was made."""

import shutil
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch

from equivdm.backbones import backbone_of
from equivdm.config import LoraConfig
from equivdm.sampling import sample
from equivdm.seeds import derive_seed
from equivdm.video.decode import decode
from equivdm.video.tensors import to_frames
from equivdm.video.write import write_video
from pipelines import distill, render
from pipelines.audit import audit
from pipelines.checkpoints import read_state
from pipelines.clips import locate, read_parts, select_clips
from pipelines.config import DistillJob, RenderJob
from pipelines.distill_config import GanConfig
from pipelines.draw import draw_noise
from pipelines.fit import TrainSummary, run_folder
from pipelines.models import find_model, load_denoiser
from pipelines.schemas import from_tensor
from pipelines.shown import COLUMNS, columns_of, conditions_of, shown
from pipelines.store import Store, open_store
from pipelines.tables import Row
from tests.pipelines.fit_cases import distill_job, fit_config, train_job, write_clips
from tests.pipelines.test_engines import WIDE
from tests.pipelines.test_models import finish
from tests.pipelines.test_train import kill_midway

pytestmark = [
    pytest.mark.slow,
    pytest.mark.ray,
    pytest.mark.timeout(1800),  # three distillations and a start of Ray
    pytest.mark.usefixtures("local_ray"),
]


class Runs(NamedTuple):
    """The same job in two stores."""

    job: DistillJob
    saved: list[tuple[int, str, float]]
    """Speeds in the checkpoint that the killed run left."""
    resumed: TrainSummary
    whole: TrainSummary


def job_of(root: Path) -> tuple[DistillJob, str]:
    """A student of two steps by two workers, all networks partitioned; and its key."""
    fit = fit_config(2, steps=10, report_every=1)
    fit = fit.model_copy(update={"parallel": fit.parallel.model_copy(update={"zero_stage": 3})})
    options = {"student_steps": 2, "guidance": 2.0, "fake_lora": LoraConfig(rank=32), "gan": GanConfig(width=1024)}
    job = distill_job(str(root), fit, **options)
    store = open_store(job.store)
    teacher = finish(store, "teacher", train_job(str(root), fit).model_copy(update={"backbone": WIDE}), spread=0.05)
    return job, distill.distill_key(job, teacher, write_clips(store))


@pytest.fixture(scope="module")
def runs(local_ray: None, tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """Once killed and continued, once not."""
    del local_ray
    folder = tmp_path_factory.mktemp("distill")
    job, key = job_of(folder / "killed")
    shutil.copytree(folder / "killed", folder / "whole")
    other = job.model_copy(update={"store": job.store.model_copy(update={"root": str(folder / "whole")})})
    store = open_store(job.store)
    kill_midway(job, key)
    assert find_model(store, key) is None
    left = min(Path(run_folder(store, key)).glob("checkpoint_2*"))  # named by their time
    saved = read_state(left)["speeds"]
    resumed = distill.run(job)
    return Runs(job, saved, resumed, distill.run(other))


def test_a_killed_distillation_goes_on_bitwise(runs: Runs) -> None:
    assert runs.saved
    assert [tuple(figure) for figure in runs.resumed.speeds[: len(runs.saved)]] == runs.saved  # it did not begin anew
    history, names = runs.resumed.model.history, {figure.metric for figure in runs.resumed.model.history}
    assert {"matching_loss", "gan_loss", "fake_loss", "head_loss"} <= names
    assert history == runs.whole.model.history
    assert runs.resumed.model.weights == runs.whole.model.weights
    assert not distill.run(runs.job).fresh
    assert audit(runs.job).ok


def test_its_videos_are_its_two_steps_with_fresh_noise_between(runs: Runs, tmp_path: Path) -> None:
    store = open_store(runs.job.store)
    job = RenderJob(store=runs.job.store, ray=runs.job.ray, name="student", model="student")
    assert render.run(job).counts["done"] == 6
    (chosen, *_) = select_clips(store, runs.job.data)
    row = next(row for row in store.table("videos").rows() if row["clip"] == chosen["key"])
    assert row["steps"] == 2
    write_video(str(tmp_path / "by_hand.mp4"), by_hand(store, chosen), chosen["fps"])
    rendered, wanted = (
        decode(path, range(chosen["frames"]), None) for path in (store.path(row["file"]), str(tmp_path / "by_hand.mp4"))
    )
    assert np.array_equal(rendered, wanted)


def by_hand(store: Store, clip: Row) -> np.ndarray:
    """The frames of a clip's video."""
    denoiser, codec, student = load_denoiser(store, "student")
    (files,) = locate(store, [clip], ("latents", "plan", *COLUMNS))
    parts = read_parts(store, files, ("latents", "plan", *columns_of(files)))
    shape, seed = from_tensor(parts["latents"]).shape, derive_seed(0, "render", clip["key"])

    def draw(seed: int) -> torch.Tensor:
        return torch.from_numpy(draw_noise(parts["plan"], shape, student.noise, seed))[None]

    conditions = conditions_of([shown(parts, clip["fps"])], [True], [True])
    diffusion = backbone_of(student.backbone).diffusion()
    with torch.inference_mode():
        latents = sample(
            denoiser,
            draw(seed),
            conditions,
            student.sampler,
            diffusion,
            fresh=lambda k: draw(derive_seed(seed, "draw", k)),
        )
        return to_frames(codec.decode(latents)[0])
