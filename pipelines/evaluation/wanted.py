"""What is to be measured of each pair, each value under a key of its own: of all that decides it, and nothing else.

So another metric, judge or system computes only what is missing, and a copy of a video is measured once.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property

from equivdm.flow import flow_identity
from equivdm.metrics import METRICS, SET_METRICS, available, chosen, left_out, weights_identity
from pipelines.config import EvaluateJob
from pipelines.evaluation.pairs import Film, Laid, Pair
from pipelines.identity import fingerprint, item_key

VERSION = 2
"""Raised when the same video would give other values."""

GENERATED, REFERENCE = "generated", "reference"
"""Whose features they are."""


@dataclass(frozen=True)
class Wanted:
    """A value of a metric, or the features of a video."""

    key: str
    name: str
    """Of the metric, or of the features."""
    of: str = ""
    """Whose features; none of a metric."""
    networks: bool = False
    """Whether a network is needed."""


@dataclass(frozen=True)
class Measures:
    """The metrics of a job, as far as they can be measured."""

    job: EvaluateJob
    pairs: Sequence[Pair] = field(repr=False)

    def check(self) -> None:
        """Raise UsageError for a name that is no metric's, and for weights that cannot be read."""
        kinds = {**METRICS, **SET_METRICS}
        weights_identity({need for name in chosen(self.job.metrics) for need in kinds[name].needs}, self.job.weights)

    @cached_property
    def left_out(self) -> dict[str, str]:
        """Metrics that were asked for and cannot be measured, each with a line that says what it lacks."""
        has = available(self.job.weights) | {"motion", "tracks", "reference"}
        has |= {need for need in ("caption", "sampling") if any(getattr(pair, need) for pair in self.pairs)}
        return left_out(chosen(self.job.metrics), has)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Metrics of one video that are measured."""
        return tuple(name for name in self._chosen if name in METRICS)

    @cached_property
    def set_names(self) -> tuple[str, ...]:
        """Metrics of whole sets that are measured."""
        return tuple(name for name in self._chosen if name in SET_METRICS)

    @cached_property
    def features(self) -> dict[str, tuple[str, ...]]:
        """What these compare, by name, with what it needs."""
        return {SET_METRICS[name].features: SET_METRICS[name].needs for name in self.set_names}

    @property
    def networks(self) -> bool:
        """Whether any of it looks through a network."""
        return bool(self.set_names) or any(_by_network(METRICS[name].needs) for name in self.names)

    @property
    def _chosen(self) -> Iterator[str]:
        return (name for name in chosen(self.job.metrics) if name not in self.left_out)

    def wanted_of(self, pair: Pair) -> list[Wanted]:
        """Return all that is wanted of a pair."""
        return [
            *(self.metric(pair, name) for name in self.names if _known_of(pair, name)),
            *(self.features_of(pair, name, of) for name in self.features for of in (GENERATED, REFERENCE)),
        ]

    def metric(self, pair: Pair, name: str) -> Wanted:
        """Return what is wanted for a metric of one video."""
        needs = METRICS[name].needs
        against = {
            "motion": self._motion(pair) if "motion" in needs else None,
            "reference": _reference(pair) if "reference" in needs else None,
            "caption": pair.caption if "caption" in needs else None,
            "sampling": pair.sampling[name] if "sampling" in needs else None,
        }
        given = {need: value for need, value in against.items() if value is not None}
        key = item_key(pair.generated.content, pair.frames, name, given, self._weights(needs), self._judge(needs))
        return Wanted(key, name, networks=_by_network(needs))

    def features_of(self, pair: Pair, name: str, of: str) -> Wanted:
        """Return what is wanted of the generated video, or of its reference, for metrics of whole sets."""
        own = [pair.generated.content, pair.frames]
        if of == REFERENCE:
            own = _reference(pair)
        return Wanted(item_key("features", VERSION, name, own, self._weights(self.features[name])), name, of, True)

    def _judge(self, needs: Sequence[str]) -> str:
        judge = self._motion_judge if "motion" in needs else {}
        return fingerprint({"stage": "evaluate", "version": VERSION, **judge})

    @cached_property
    def _motion_judge(self) -> dict[str, object]:
        return {"flow": flow_identity(self.job.flow), "occlusion": self.job.flow.occlusion.model_dump()}

    def _motion(self, pair: Pair) -> list[object]:
        """What decides the driving motion, beside the estimator."""
        return [*sorted(pair.motion.values())] if pair.motion else _shown(pair.driving, pair, pair.laid)

    def _weights(self, needs: Sequence[str]) -> dict[str, str]:
        known = self.__dict__.setdefault("_weights_known", {})
        if needs not in known:
            known[needs] = weights_identity(set(needs), self.job.weights)
        return known[needs]


def _known_of(pair: Pair, metric: str) -> bool:
    """Whether a pair has what not every pair has, and the metric needs."""
    needs = METRICS[metric].needs
    return (bool(pair.caption) or "caption" not in needs) and (metric in pair.sampling or "sampling" not in needs)


def _by_network(needs: Sequence[str]) -> bool:
    return any(need.startswith("weights.") for need in needs)


def _reference(pair: Pair) -> list[object]:
    return [pair.no_reference] if pair.no_reference else _shown(pair.reference, pair, pair.laid_reference)


def _shown(film: Film, pair: Pair, laid: Laid) -> list[object]:
    """What names the frames of a video that is laid beside the generated one."""
    return [film.content, list(pair.indices), asdict(laid)]
