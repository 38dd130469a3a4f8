"""Specs: where they are found, what `--set` does, and the line that each mistake gets."""

from pathlib import Path
from typing import cast

import pytest
import yaml

from equivdm.config import TinyConfig, WanConfig
from equivdm.errors import UsageError
from jobs.specs import JOBS, load_spec, spec_names, variant
from pipelines.config import PreprocessJob, TrainJob

WITH_SPECS = set(JOBS) - {"reproduce"}
"""The specs of `reproduce` are made of several files: see `jobs.paper`."""


def test_the_project_has_a_spec_of_every_job() -> None:
    assert {f"tiny_{job}" for job in WITH_SPECS} <= set(spec_names())
    assert {load_spec(name).job for name in spec_names()} == WITH_SPECS


def test_a_spec_is_found_by_path_and_by_name(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text("job: train\nstore:\n  root: somewhere\nfit:\n  steps: 7\n")
    job = load_spec(str(path))
    assert isinstance(job, TrainJob)
    assert (job.store.root, job.fit.steps, job.fit.batch) == ("somewhere", 7, 4)
    assert load_spec("tiny_train") == load_spec("tiny_train.yaml")


def test_settings_are_yaml_on_top_of_the_spec() -> None:
    settings = ["clip.frames=8", "source.include=['a*', b]", "clip.fps=null", "store.root=s3://bucket/x=y"]
    job = load_spec("tiny_preprocess", settings)
    assert isinstance(job, PreprocessJob)
    assert (job.clip.frames, job.clip.height, job.clip.fps) == (8, 64, None)
    assert job.source.include == ("a*", "b")
    assert job.store.root == "s3://bucket/x=y"


def test_a_variant_changes_what_is_named_and_keeps_the_rest() -> None:
    job = load_spec("tiny_train", ["fit.steps=9"])
    other = variant(job, name="independent", noise={"kind": "independent"}, data={"exclude": []})
    assert isinstance(other, TrainJob)
    assert (other.name, other.noise.kind, other.noise.beta, other.fit.steps) == ("independent", "independent", 0.9, 9)
    assert other.data.exclude == ()
    assert isinstance(job, TrainJob)
    assert job.data.exclude == ("holdout_*",)


WRONG = {
    "fit.step=3": "tiny_train: unknown field 'fit.step' (got 3): did you mean 'fit.steps'?",
    "steps=3": "tiny_train: unknown field 'steps' (got 3): did you mean 'fit.steps'?",
    "noise.colour=pink": "tiny_train: unknown field 'noise.colour' (got 'pink'): the fields of noise are kind, beta",
    "fit.batch=0": "tiny_train: fit.batch: got 0, wanted greater than or equal to 1",
    "fit.batch=many": "tiny_train: fit.batch: got 'many', wanted integer",
    "fit.optimizer.betas=[0.9, 1]": "tiny_train: fit.optimizer.betas.1: got 1, wanted less than 1",
    "noise.kind=pink": "tiny_train: noise.kind: got 'pink', wanted 'warped' or 'independent'",
    "name=A B": "tiny_train: name: got 'A B', wanted text that matches ^[a-z0-9][a-z0-9_-]{0,62}$",
    "fit=3": "tiny_train: fit: got 3, wanted a mapping of fields",
    "data.include=all": "tiny_train: data.include: got 'all', wanted list",
    "backbone.width=100": ("tiny_train: backbone: width 100 is no multiple of twice the heads (4): choose one that is"),
    "backbone.kind=van": "tiny_train: backbone.kind: got 'van', wanted one of 'tiny', 'wan', 'videocrafter2'",
    "backbone={kind: wan, model: x, words: 0}": (
        "tiny_train: backbone.words: got 0, wanted greater than or equal to 1"
    ),
    "backbone.widht=16": "tiny_train: unknown field 'backbone.widht' (got 16): did you mean 'backbone.width'?",
    "fit.batch": "got --set fit.batch, wanted a path, `=` and a YAML value: for example --set clip.frames=16",
    "fit..batch=1": "got --set fit..batch=1, wanted a path, `=` and a YAML value: for example --set clip.frames=16",
    "fit.batch=[1": (
        "got --set fit.batch=[1, wanted a YAML value after `=`: line 1, column 3: "
        "expected ',' or ']', but got '<stream end>'"
    ),
}


@pytest.mark.parametrize("setting", WRONG)
def test_a_wrong_setting_is_named_with_what_was_wanted(setting: str) -> None:
    with pytest.raises(UsageError) as caught:
        load_spec("tiny_train", [setting], "train")
    assert str(caught.value) == WRONG[setting]


def test_another_backbone_replaces_the_fields_of_the_one_before(tmp_path: Path) -> None:
    spec = tmp_path / "wide.yaml"
    spec.write_text("job: train\nstore: {root: here}\nbackbone: {width: 32, heads: 2}\n")

    def backbone(*settings: str) -> object:
        return cast(TrainJob, load_spec(str(spec), settings)).backbone

    assert backbone("backbone.kind=tiny", "backbone.depth=2") == TinyConfig(width=32, heads=2, depth=2)
    assert backbone("backbone={kind: wan, model: x}") == WanConfig(model="x")


def test_every_mistake_has_its_own_line() -> None:
    with pytest.raises(UsageError) as caught:
        load_spec("tiny_preprocess", ["clip.height=8", "clip.length=4", "source=null"])
    assert str(caught.value).splitlines() == [
        "tiny_preprocess: source: got None, wanted a mapping of fields",
        "tiny_preprocess: clip.height: got 8, wanted greater than or equal to 16",
        "tiny_preprocess: unknown field 'clip.length' (got 4): "
        "the fields of clip are frames, height, width, stride, fps, max_windows, buckets",
    ]


def test_a_missing_field_is_named(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text("store:\n  root: out\n")
    with pytest.raises(UsageError) as caught:
        load_spec(str(path), verb="preprocess")
    assert str(caught.value) == f"{path}: field 'source' is missing: give it in the spec, or with --set source=..."


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1\n", "{path} is not valid YAML: line 2, column 1: expected ',' or ']', but got '<stream end>'"),
        ("just words\n", "{path}: got 'just words', wanted a mapping of fields such as `job: train`"),
        ("", "{path}: got None, wanted a mapping of fields such as `job: train`"),
        (
            "job: bake\n",
            "{path}: got job='bake', wanted one of preprocess, train, distill, render, evaluate, reproduce: "
            "write `job: train`, say",
        ),
        (
            "job: [train]\n",
            "{path}: got job=['train'], wanted one of preprocess, train, distill, render, evaluate, reproduce: "
            "write `job: train`, say",
        ),
        ("job: render\n", "{path} is a spec of job 'render', wanted 'train': run `equivdm render {path}`"),
    ],
)
def test_a_file_that_is_no_spec_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(text)
    with pytest.raises(UsageError) as caught:
        load_spec(str(path), verb="train")
    assert str(caught.value) == message.format(path=path)


def test_an_unknown_spec_names_those_there_are() -> None:
    with pytest.raises(UsageError) as caught:
        load_spec("tiny_trian")
    assert str(caught.value) == (
        f"no spec 'tiny_trian': wanted the path of a YAML file, or one of {', '.join(spec_names())}"
    )


def test_of_two_settings_of_a_field_the_later_one_counts() -> None:
    job = load_spec("tiny_train", ["fit.steps=3", "fit={batch: 8}", "fit.steps=5"])
    assert isinstance(job, TrainJob)
    assert (job.fit.steps, job.fit.batch) == (5, 8)


def test_loading_a_spec_again_gives_an_equal_job_and_leaves_the_settings_alone() -> None:
    settings = ["store.root=a", "data.include=[b]"]
    assert load_spec("tiny_train", settings) == load_spec("tiny_train", settings)
    assert settings == ["store.root=a", "data.include=[b]"]


@pytest.mark.parametrize("name", sorted(WITH_SPECS))
def test_a_job_that_is_written_down_is_read_back_as_it_was(tmp_path: Path, name: str) -> None:
    job = load_spec(f"tiny_{name}")
    path = tmp_path / "again.yaml"
    path.write_text(yaml.safe_dump(job.model_dump(mode="json")))
    assert load_spec(str(path), verb=name) == job


def test_a_variant_that_cannot_be_is_refused_by_the_name_of_its_job() -> None:
    with pytest.raises(UsageError, match=r"^the demo's independent: fit.steps: got 0, wanted greater than"):
        variant(load_spec("tiny_train"), name="independent", fit={"steps": 0})


def test_a_long_value_is_cut_where_it_is_shown() -> None:
    with pytest.raises(UsageError) as caught:
        load_spec("tiny_train", [f"fit.batch={'x' * 500}"])
    assert str(caught.value) == f"tiny_train: fit.batch: got '{'x' * 56}..., wanted integer"


@pytest.mark.parametrize("text", [b"\xff\xfe\x00", b"job: train\n---\njob: render\n", b"!!python/name:os.system\n"])
def test_a_file_that_yaml_cannot_read_or_must_not_run_is_refused_in_one_line(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "own.yaml"
    path.write_bytes(text)
    with pytest.raises(UsageError, match=rf"^{path} is not valid YAML: [^\n]+$"):
        load_spec(str(path))


def test_a_folder_is_no_spec(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"^no spec .*: wanted the path of a YAML file, or one of compare_systems, "):
        load_spec(str(tmp_path))
