"""The backbone wan in the jobs, at a tiny random size: videos to clips, a model for diffusers, and videos again."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import WanTransformer3DModel, WanVACETransformer3DModel

from equivdm.backbones import backbone_of
from equivdm.backbones.wan.codec import WanCodec
from equivdm.backbones.wan.control import control_video, vace_control
from equivdm.backbones.wan.load import load_denoiser, save_pipeline
from equivdm.config import ControlConfig, LoraConfig, NoiseConfig, SamplerConfig, WanConfig
from equivdm.errors import UsageError
from equivdm.seeds import derive_seed
from equivdm.video.decode import decode
from equivdm.video.tensors import to_frames
from equivdm.video.write import write_video
from pipelines import distill, preprocess, render, stage_steps, train
from pipelines.audit import audit
from pipelines.clips import read_clips
from pipelines.config import DistillJob, PreprocessJob, RenderJob, TrainJob
from pipelines.delta_log import Receipt
from pipelines.distill_config import GanConfig
from pipelines.distill_recipe import make_recipe
from pipelines.draw import draw_noise
from pipelines.engines import make_plain
from pipelines.loader import Batch, ClipReader, Loader, SampleConfig
from pipelines.loop import run as run_steps
from pipelines.models import newest_model, register_model, save_weights
from pipelines.schemas import STAGES, from_tensor
from pipelines.session import set_up
from pipelines.settings import StoreConfig
from pipelines.stage_steps import encode_text
from pipelines.stages import check_clips
from pipelines.store import Store, open_store
from tests.equivdm.backbones.wan import tiny
from tests.pipelines.fit_cases import RAY, fit_config
from tests.pipelines.hand import clips_of, items_of
from tests.pipelines.videos import preprocess_job, write_scene

WORDS = 12


def model(folder: Path, vace: bool) -> WanConfig:
    """Save a model of random weights as diffusers does."""
    save_pipeline(folder, tiny.denoiser(vace), tiny.codec(), tiny.text(), shift=3.0)
    return WanConfig(model=str(folder), words=WORDS)


def job_of(folder: Path, backbone: WanConfig, **changes: Any) -> PreprocessJob:
    """Two videos of captions of unequal length, the first of two windows."""
    for number, (frames, caption) in enumerate([(10, "a cat walks"), (5, "dog")]):
        write_scene(folder / "videos" / f"{number}.mp4", seed=number + 1, frames=frames)
        (folder / "videos" / f"{number}.txt").write_text(caption)
    clip = {"frames": 5, "height": 32, "width": 48}
    return preprocess_job(folder / "videos", folder / "store", clip=clip, backbone=backbone, **changes)


@pytest.fixture(scope="module", params=[False, True], ids=["t2v", "vace"])
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[bool, PreprocessJob]:
    """A model, and its clips."""
    folder = tmp_path_factory.mktemp("wan")
    job = job_of(folder, model(folder / "model", request.param))
    clips_of(job)
    return request.param, job


def clips(store: Store, *columns: str) -> list[dict[str, Any]]:
    rows = [row for row in store.table("clips").rows() if row["outcome"] == "done"]
    parts = read_clips(store, [row["key"] for row in rows], ("key", *columns))
    return [row | part for row, part in zip(rows, parts, strict=True)]


def test_captions_are_stored_once_up_to_their_ends(case: tuple[bool, PreprocessJob]) -> None:
    store, encode = open_store(case[1].store), backbone_of(case[1].backbone).build_text()
    found = clips(store, "text", "empty")
    assert len(found) == 3
    assert len(store.table("texts").files()) == len({row["texts"] for row in found}) == 2
    for row in found:
        text, empty = from_tensor(row["text"]), from_tensor(row["empty"])
        wanted = encode([row["caption"], ""])
        assert (text.dtype, text.shape) == (np.float16, (len(row["caption"].split()) + 1, tiny.FEATURES))
        np.testing.assert_allclose(text, wanted[0], atol=2e-3)
        np.testing.assert_allclose(empty, wanted[1], atol=2e-3)


def test_two_processes_that_write_a_caption_keep_one_row(case: tuple[bool, PreprocessJob], tmp_path: Path) -> None:
    """Each has its own data file; the second commit, be it another run's or the same one's, drops its own."""
    job = case[1].model_copy(update={"store": StoreConfig(root=str(tmp_path))})
    windows = [row for row in items_of(job) if row["path"] == "0.mp4"]
    texts, parts = open_store(job.store).table("texts"), []
    for window in windows:
        stage_steps._write_text.cache_clear()  # what the other process does not know
        parts += encode_text(window, job, open_store(job.store))["parts"]
    assert len({part["file"] for part in parts}) == 2 > len({part["key"] for part in parts})
    receipts = [Receipt(**part) for part in parts]
    assert texts.commit(receipts) == receipts[:1]
    assert texts.commit(receipts[1:]) == []
    assert texts.commit(receipts[:1]) == receipts[:1]  # handed on once more
    assert [file.name for file in texts.files()] == [receipts[0].file]


def test_vace_has_the_conditions_latents_and_text_to_video_has_none(case: tuple[bool, PreprocessJob]) -> None:
    vace, job = case
    store, codec = open_store(job.store), backbone_of(job.backbone).build_codec()
    stages = {stage for stage in STAGES if store.table(stage).states()}
    common = {"looks", "motion", "plans", "latents", "texts"}
    assert stages == common | ({"controls", "hints", "blanks"} if vace else set())
    if not vace:
        return
    found = clips(store, "control", "hint", "blank")
    assert len({row["blanks"] for row in found}) == 1 < len({row["hints"] for row in found}) == 3
    for row in found:
        control = torch.tensor(from_tensor(row["control"]))[None]
        planes = vace_control(codec, control_video(control))[0, :32]
        stored = np.concatenate([from_tensor(row["blank"]), from_tensor(row["hint"])])
        np.testing.assert_allclose(stored, planes.numpy(), atol=2e-3)


def test_vace_is_shown_colours(case: tuple[bool, PreprocessJob], tmp_path: Path) -> None:
    """With the video itself as its condition, what it is shown are the video's latents."""
    vace, job = case
    if not vace:
        return
    store = job.store.model_copy(update={"root": str(tmp_path)})
    colour = job.model_copy(update={"control": ControlConfig(kind="video"), "store": store})
    clips_of(colour)
    for row in clips(open_store(store), "control", "hint", "latents"):
        assert from_tensor(row["control"]).shape == (5, 32, 48, 3)
        np.testing.assert_array_equal(from_tensor(row["hint"]), from_tensor(row["latents"]))


def batch_of(job: PreprocessJob, **dropout: Any) -> Batch:
    """All clips in one batch."""
    store = open_store(job.store)
    keys = [row["key"] for row in clips(store)]
    reader = ClipReader(store, keys, backbone_of(job.backbone).geometry)
    return Loader(
        SampleConfig(1, 3, NoiseConfig(), backbone_of(job.backbone).diffusion(), **dropout), keys, reader
    ).batch(0)


def test_a_batch_pads_captions_and_says_nothing_where_it_should(case: tuple[bool, PreprocessJob]) -> None:
    vace, job = case
    whole, silent = batch_of(job).conditions, batch_of(job, text_dropout=1.0, control_dropout=1.0).conditions
    assert whole.text.shape == (3, 4, tiny.FEATURES)  # three words and the end
    assert sorted((whole.text != 0).any(2).sum(1).tolist()) == [2, 4, 4]
    empty = torch.from_numpy(backbone_of(job.backbone).build_text()([""])[0]).float()
    torch.testing.assert_close(silent.text, empty.expand(3, -1, -1), atol=2e-3, rtol=0)
    if not vace:
        assert whole.control is None is silent.control
        return
    assert whole.control is not None
    assert silent.control is not None
    assert whole.control.shape == (3, 32, 2, 4, 6)
    assert torch.equal(whole.control[:, :16], silent.control[:, :16])
    assert torch.equal(silent.control[:, :16], silent.control[:, 16:])
    assert not torch.equal(whole.control[:, 16:], silent.control[:, 16:])


def test_a_changed_caption_computes_its_text_and_nothing_else(tmp_path: Path) -> None:
    job = job_of(tmp_path, model(tmp_path / "model", vace=True))
    store = open_store(job.store)
    clips_of(job)
    before = {stage: set(store.table(stage).states()) for stage in STAGES}
    (tmp_path / "videos" / "1.txt").write_text("a dog runs")
    clips_of(job)
    new = {stage: len(set(store.table(stage).states()) - before[stage]) for stage in STAGES}
    assert {stage: count for stage, count in new.items() if count} == {"texts": 1}


def test_without_a_condition_vace_is_shown_nothing(tmp_path: Path) -> None:
    job = job_of(tmp_path, model(tmp_path / "model", vace=True), control=ControlConfig(kind="none"))
    clips_of(job)
    assert not open_store(job.store).table("hints").states()
    control = batch_of(job).conditions.control
    assert control is not None
    assert torch.equal(control[:, :16], control[:, 16:])


def test_clips_of_another_codec_or_text_encoder_are_refused_before_anything_starts(
    case: tuple[bool, PreprocessJob], tmp_path: Path
) -> None:
    vace, job = case
    rows = clips(open_store(job.store))
    check_clips(rows, job.backbone)
    other = model(tmp_path / "other", vace)
    check_clips(rows, other)  # the same files elsewhere
    with pytest.raises(UsageError, match=r"^data: got clips whose texts are not of this backbone \(wan, "):
        check_clips(rows, job.backbone.model_copy(update={"words": 8}))
    file = tmp_path / "other" / "vae" / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"latents_mean": [0.5] * 16}))
    run = TrainJob(store=job.store, ray=RAY, backbone=other, fit=fit_config())
    with pytest.raises(UsageError, match=r"^data: got clips whose latents are not of this backbone"):
        train.run(run)
    with pytest.raises(UsageError, match=r"^data: got clips whose latents and texts "):
        train.run(TrainJob(store=job.store, ray=RAY, fit=fit_config()))


def test_a_student_of_wan_takes_a_step(case: tuple[bool, PreprocessJob], tmp_path: Path) -> None:
    vace, job = case
    store, teacher = open_store(job.store), tiny.denoiser(vace)
    trained = TrainJob(store=job.store, ray=RAY, name="teacher", backbone=job.backbone, fit=fit_config())
    named = save_weights(store, "teacher", teacher.state_dict(), teacher)
    facts = {"weights": named, "steps": 0, "history": (), "run": "now", "seconds": 0.0}
    record = register_model(store, trained, "teacher", None, **facts)
    fit = fit_config(steps=1, batch=3)
    options = {"student_steps": 2, "guidance": 2.0, "fake_lora": LoraConfig(rank=2), "gan": GanConfig(width=8)}
    distilled = DistillJob(store=job.store, ray=RAY, teacher="teacher", fake_updates=1, fit=fit, **options)
    keys, cpu = [row["key"] for row in clips(store)], torch.device("cpu")
    session = set_up(make_recipe(distilled, store, record, keys, cpu, 0, 1), fit, cpu, make_plain)
    run_steps(session)
    assert {"loss", "fake_loss", "gan_loss", "head_loss"} <= {figure.metric for figure in session.history}
    student = session.main.state_dict()
    assert any(not torch.equal(student[name], value) for name, value in teacher.state_dict().items())


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.usefixtures("local_ray")
def test_videos_to_a_model_that_diffusers_loads_and_to_videos(tmp_path: Path) -> None:
    backbone = model(tmp_path / "model", vace=True)
    job = job_of(tmp_path, backbone)
    assert preprocess.run(job).counts["done"] == 3
    fit = fit_config(2, steps=2, batch=2, checkpoint_activations=True)
    trained = TrainJob(store=job.store, ray=RAY, backbone=backbone, fit=fit)
    assert train.run(trained).fresh
    store = open_store(job.store)
    folder = Path(store.path(newest_model(store, trained.name).folder))
    network = WanVACETransformer3DModel.from_pretrained(folder, subfolder="transformer")
    ours, start = load_denoiser(str(folder)).network.state_dict(), tiny.denoiser(vace=True).network.state_dict()
    assert all(torch.equal(value, ours[name]) for name, value in network.state_dict().items())
    assert any(not torch.equal(value, start[name]) for name, value in ours.items())
    sampler = SamplerConfig(kind="unipc", steps=2, shift=3.0, guidance=2.0)
    videos = RenderJob(store=job.store, ray=RAY, sampler=sampler)
    assert render.run(videos).counts["done"] == 3
    assert audit(trained).ok
    assert audit(videos).ok
    shard = next(folder.rglob("*.safetensors"))
    shard.write_bytes(shard.read_bytes()[:-1])
    assert [line.partition(": ")[2] for line in audit(trained).problems] == [
        "its bytes have changed since it was committed"
    ]


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.timeout(1200)
@pytest.mark.usefixtures("local_ray")
def test_videos_to_a_text_to_video_student_and_to_its_videos(tmp_path: Path) -> None:
    backbone = model(tmp_path / "model", vace=False)
    job = job_of(tmp_path, backbone)
    assert preprocess.run(job).counts["done"] == 3
    common, fit = {"store": job.store, "ray": RAY}, fit_config(2, steps=2, batch=2)
    teacher = train.run(TrainJob(**common, backbone=backbone, fit=fit)).model
    sharded = fit.model_copy(update={"parallel": fit.parallel.model_copy(update={"zero_stage": 3})})
    distilled = DistillJob(**common, fit=sharded, fake_updates=1)
    student = distill.run(distilled).model
    assert (student.parent, student.backbone, student.sampler) == (
        teacher.key,
        backbone,
        SamplerConfig(kind="renoise", steps=1),
    )
    videos = RenderJob(**common, model="student")
    assert render.run(videos).counts["done"] == 3
    assert audit(distilled).ok
    assert audit(videos).ok

    store, codec = open_store(job.store), backbone_of(backbone).build_codec()
    network, teaching = (
        WanTransformer3DModel.from_pretrained(store.path(record.folder), subfolder="transformer")
        for record in (student, teacher)
    )
    for row in store.table("videos").rows():
        rendered = pixels(Path(store.path(row["file"])))
        mine, theirs = (by_hand(store, row, made, codec, tmp_path) for made in (network, teaching))
        assert np.abs(rendered - mine).mean() < 0.5 < np.abs(rendered - theirs).mean()


def pixels(file: Path) -> np.ndarray:
    return decode(str(file), range(5), None).astype(float)


def by_hand(
    store: Store, row: dict[str, Any], network: WanTransformer3DModel, codec: WanCodec, folder: Path
) -> np.ndarray:
    """A one-step student's video as diffusers' network makes it: x_0 = x_1 - u(x_1, t = 1), decoded, in H.264."""
    (clip,) = read_clips(store, [row["clip"]], ("plan", "latents", "text"))
    shape, seed = tuple(clip["latents"]["shape"]), derive_seed(0, "render", row["clip"])
    noise = torch.tensor(draw_noise(clip["plan"], shape, NoiseConfig(), seed))[None]
    words = torch.tensor(from_tensor(clip["text"]).astype(np.float32))
    text = torch.zeros(1, WORDS, tiny.FEATURES)
    text[0, : len(words)] = words
    with torch.no_grad():
        (velocity,) = network(noise, torch.tensor([1000.0]), text, return_dict=False)
        write_video(str(folder / "hand.mp4"), to_frames(codec.decode(noise - velocity)[0]), row["fps"])
    return pixels(folder / "hand.mp4")
