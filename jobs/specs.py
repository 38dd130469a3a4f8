"""Job specs: YAML files, `--set` on top of them, and what to say when one is wrong.

Neither torch nor Ray is loaded here."""

import difflib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from equivdm.errors import UsageError
from pipelines.config import DistillJob, EvaluateJob, Job, PreprocessJob, RenderJob, ReproduceJob, TrainJob

SPECS = Path(__file__).parent / "specs"
"""The specs that come with the project, known by name."""

JOBS: Mapping[str, type[Job]] = {
    "preprocess": PreprocessJob,
    "train": TrainJob,
    "distill": DistillJob,
    "render": RenderJob,
    "evaluate": EvaluateJob,
    "reproduce": ReproduceJob,
}
"""The model of each kind of spec."""

ENVIRONMENT = "env:"
"""`env:NAME` is the spec that a variable of the environment holds, as a submitted job has it."""

JobT = TypeVar("JobT", bound=Job)

ModelT = TypeVar("ModelT", bound=BaseModel)


def load_spec(spec: str, settings: Sequence[str] = (), verb: str | None = None) -> Job:
    """Read a spec, put the settings on top and check it; `verb` is the kind wanted, any where None.

    `spec` is the path of a YAML file, the name of one that comes with the project, or `env:NAME`; a setting is `a.b=c`
    with c in YAML. Raises UsageError with a line for each thing that is wrong.
    """
    values = _from_environment(spec) if spec.startswith(ENVIRONMENT) else read_mapping(find_spec(spec))
    for setting in settings:
        _apply(values, setting)
    kind = values.setdefault("job", verb)
    if not isinstance(kind, str) or kind not in JOBS:
        raise UsageError(f"{spec}: got job={kind!r}, wanted one of {', '.join(JOBS)}: write `job: train`, say")
    if verb and kind != verb:
        raise UsageError(f"{spec} is a spec of job {kind!r}, wanted {verb!r}: run `equivdm {kind} {spec}`")
    return check(JOBS[kind], values, origin=spec)


def check(model: type[ModelT], values: Mapping[str, Any], origin: str) -> ModelT:
    """Validate a mapping as a job, or another closed model; `origin` says in the error where the values came from."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        lines = [_explain(model, one) for one in error.errors(include_url=False)]
        raise UsageError("\n".join(f"{origin}: {line}" for line in lines)) from error


def variant(job: JobT, **changes: Any) -> JobT:
    """A copy of a job with other values, checked again: `variant(job, noise={"kind": "independent"})`."""
    values = job.model_dump(exclude_unset=True)
    merge(values, changes)
    return check(type(job), values, origin=f"the demo's {values.get('name', 'job')}")


def find_spec(spec: str) -> Path:
    """The path of a spec given by path or by name. Raises UsageError where there is none."""
    path = Path(spec)
    if path.is_file():
        return path
    name = spec.removesuffix(".yaml")
    if name in spec_names():
        return SPECS / f"{name}.yaml"
    raise UsageError(f"no spec {spec!r}: wanted the path of a YAML file, or one of {', '.join(spec_names())}")


def spec_names() -> list[str]:
    """Names of the specs that come with the project: `tiny_train`, or `shipped/base` of one in a folder."""
    found = [*SPECS.glob("*.yaml"), *SPECS.glob("shipped/*.yaml")]
    return sorted(path.relative_to(SPECS).with_suffix("").as_posix() for path in found)


def _from_environment(spec: str) -> dict[str, Any]:
    text = os.environ.get(spec.removeprefix(ENVIRONMENT))
    if text is None:
        raise UsageError(f"{spec}: got no such variable of the environment, wanted one that holds a spec in YAML")
    return _mapping(text, spec)


def read_mapping(path: Path) -> dict[str, Any]:
    """Read a YAML file that holds a mapping. Raises UsageError for any other."""
    try:
        return _mapping(path.read_text(encoding="utf-8"), str(path))
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not valid YAML: {_yaml_place(error)}") from error


def _mapping(text: str, origin: str) -> dict[str, Any]:
    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UsageError(f"{origin} is not valid YAML: {_yaml_place(error)}") from error
    if not isinstance(values, dict):
        raise UsageError(f"{origin}: got {_show(values)}, wanted a mapping of fields such as `job: train`")
    return values


def _yaml_place(error: Exception) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark:
        mark = error.problem_mark
        return f"line {mark.line + 1}, column {mark.column + 1}: {error.problem}"
    return str(error).splitlines()[0]


def _apply(values: dict[str, Any], setting: str) -> None:
    """Set one `a.b=c` in nested mappings."""
    name, equals, text = setting.partition("=")
    parts = name.strip().split(".")
    if not equals or not all(parts):
        raise UsageError(f"got --set {setting}, wanted a path, `=` and a YAML value: for example --set clip.frames=16")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UsageError(f"got --set {setting}, wanted a YAML value after `=`: {_yaml_place(error)}") from error
    for part in reversed(parts):
        value = {part: value}
    merge(values, value)


def merge(values: dict[str, Any], changes: Mapping[str, Any]) -> None:
    """Put `changes` on `values`, mapping by mapping; all else, and another backbone, replaces what was there."""
    for name, change in changes.items():
        below = values.get(name)
        if isinstance(change, Mapping) and isinstance(below, dict) and not _is_other_backbone(name, below, change):
            merge(below, change)
        else:
            values[name] = dict(change) if isinstance(change, Mapping) else change


def _is_other_backbone(name: str, below: Mapping[str, Any], change: Mapping[str, Any]) -> bool:
    """Whether a change names another kind of backbone: it has no field in common with the one that was there."""
    kind = below.get("kind", "tiny")
    return name == "backbone" and change.get("kind", kind) != kind


def _explain(model: type[BaseModel], error: ErrorDetails) -> str:
    """One line for one of pydantic's errors: the field, what was got, what was wanted, what to do."""
    field = _field(model, error)
    if error["type"] == "extra_forbidden":
        return f"unknown field {field!r} (got {_show(error['input'])}): {_nearest(model, field)}"
    if error["type"] == "missing":
        return f"field {field!r} is missing: give it in the spec, or with --set {field}=..."
    if error["type"] == "union_tag_invalid":
        told = error.get("ctx", {})
        return f"{field}.kind: got {told.get('tag')!r}, wanted one of {told.get('expected_tags')}"
    if error["type"] == "value_error":
        return f"{field or 'the spec'}: {error['msg'].removeprefix('Value error, ')}"
    return f"{field or 'the spec'}: got {_show(error['input'])}, wanted {_wanted(error)}"


def _field(model: type[BaseModel], error: ErrorDetails) -> str:
    """Return where an error is, without the kinds that pydantic puts between a union and the fields of its member."""
    kinds = {kind for below in set(_all_models(model)) for kind in _kinds(below)}
    *places, last = [str(part) for part in error["loc"]] or [""]
    places = [part for part in places if part not in kinds]
    is_kind = last in kinds and error["type"] != "extra_forbidden"
    return ".".join(places if is_kind else [*places, last])


def _kinds(model: type[BaseModel]) -> tuple[Any, ...]:
    info = model.model_fields.get("kind")
    return get_args(info.annotation) if info else ()


def _wanted(error: ErrorDetails) -> str:
    """Pydantic's own words without their frame: `Input should be a valid integer` is `integer`."""
    if error["type"] in ("model_type", "dict_type"):
        return "a mapping of fields"
    if error["type"] == "string_pattern_mismatch":
        return f"text that matches {error['ctx']['pattern']}" if "ctx" in error else error["msg"]
    wanted = re.sub(r"^(Input|String|Tuple) should (be )?(a valid )?", "", error["msg"])
    return wanted.partition(", unable to")[0].replace("tuple", "list")


def _nearest(model: type[BaseModel], field: str) -> str:
    """Which field was meant, or which there are."""
    place, _, last = field.rpartition(".")
    paths = list(_paths(model))
    beside = [path.rpartition(".")[2] for path in paths if path.rpartition(".")[0] == place]
    if elsewhere := [path for path in paths if path.rpartition(".")[2] == last]:
        return f"did you mean {elsewhere[0]!r}?"
    if close := difflib.get_close_matches(last, beside, n=1):
        return f"did you mean {'.'.join(filter(None, [place, close[0]]))!r}?"
    return f"the fields {f'of {place}' if place else 'here'} are {', '.join(beside)}"


def _paths(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Dotted names of all fields of a model and of the models in it."""
    for name, info in model.model_fields.items():
        yield prefix + name
        for below in _models(info.annotation):
            yield from _paths(below, f"{prefix}{name}.")


def _all_models(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """The models in the fields of a model, of all depths."""
    for info in model.model_fields.values():
        for below in _models(info.annotation):
            yield below
            yield from _all_models(below)


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models(part)


def _show(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
