"""What experiments are made of: models, each once, and measurements. Neither Ray nor a table is needed here."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from equivdm.errors import UsageError
from equivdm.study.clips import VERSION
from equivdm.study.config import ExperimentSpec, ModelSpec, in_order
from equivdm.study.experiments import EXPERIMENTS
from equivdm.video.photographs import SHA256
from pipelines.config import StudyConfig
from pipelines.identity import content_id, item_key

MODELS_VERSION = 1
"""Raised when the same spec would give other weights."""

MEASUREMENTS_VERSION = 2
"""Raised when the same spec and weights would give other numbers."""


@dataclass(frozen=True)
class ModelItem:
    """A model to make."""

    spec: ModelSpec
    device: str

    @property
    def key(self) -> str:
        return model_key(self.spec)

    @property
    def base(self) -> str | None:
        """Key of the model that it starts from."""
        return model_key(self.spec.base) if self.spec.base else None

    @property
    def depth(self) -> int:
        """How many models have to be there before it."""
        return len(self.spec.lineage) - 1

    @property
    def name(self) -> str:
        """What it is, in a few words; other models may be called alike."""
        spec = self.spec
        kind = "student" if spec.student else "fine-tune" if spec.base else "base"
        return f"seed {spec.seed}, {kind}, {spec.data.kind}, {spec.noise.scheme} {spec.noise.beta:g}"


@dataclass(frozen=True)
class MeasurementItem:
    """An experiment to measure, for a seed."""

    experiment: str
    seed: int
    spec: ExperimentSpec

    @property
    def models(self) -> Sequence[ModelSpec]:
        """What it needs; what these start from comes before them."""
        return in_order(EXPERIMENTS[self.experiment].models(self.spec, self.seed))

    @property
    def asked(self) -> Sequence[ModelSpec]:
        """The models that it measures, each once."""
        return list({each.key: each for each in EXPERIMENTS[self.experiment].models(self.spec, self.seed)}.values())

    @property
    def key(self) -> str:
        """Hash of all that can change a number."""
        spec = self.spec.model_dump(mode="json", exclude={"device", "autoencoder"})
        spec["autoencoder"] = _bytes_of(self.spec.autoencoder)
        models = [model_key(each) for each in self.asked]
        clips = [VERSION, SHA256]
        return item_key("measurement", MEASUREMENTS_VERSION, clips, self.experiment, self.seed, spec, models)

    @property
    def name(self) -> str:
        return f"{self.experiment}, seed {self.seed}"


def _bytes_of(file: str | None) -> str | None:
    """Return the hash of a file's bytes: weights are named by them, wherever they lie."""
    if file is None:
        return None
    try:
        with open(file, "rb") as stream:
            return content_id(stream)
    except OSError as error:
        raise UsageError(
            f"autoencoder: got {file!r}, which cannot be read ({error}); wanted a file of weights"
        ) from error


def model_key(spec: ModelSpec) -> str:
    """Return the hash of all that can change a model's weights, what it starts from with it."""
    return item_key("model", MODELS_VERSION, spec.model_dump(mode="json"))


def measurement_items(studies: Iterable[StudyConfig]) -> list[MeasurementItem]:
    """Return what is to be measured, seed by seed."""
    return [MeasurementItem(study.experiment, seed, study.spec) for study in studies for seed in range(study.seeds)]


def model_items(measurements: Iterable[MeasurementItem]) -> list[list[ModelItem]]:
    """Return all models that are needed, each once, in waves: each starts from models of the waves before.

    In a wave those of most updates come first, so that no worker ends long after the others.
    """
    found: dict[str, ModelItem] = {}
    for measurement in measurements:
        for spec in measurement.models:
            found.setdefault(model_key(spec), ModelItem(spec, measurement.spec.device))
    waves: dict[int, list[ModelItem]] = defaultdict(list)
    for item in found.values():
        waves[item.depth].append(item)
    return [sorted(waves[depth], key=lambda item: -item.spec.steps) for depth in sorted(waves)]


def count_models(studies: Iterable[StudyConfig]) -> Counter[int]:
    """Return how many models are needed, by the number of models before them."""
    waves = model_items(measurement_items(studies))
    return Counter({wave[0].depth: len(wave) for wave in waves})
