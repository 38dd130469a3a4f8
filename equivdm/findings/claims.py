"""What each experiment must show, as comparisons of means; the bars of the reproduction among them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from equivdm.findings.readings import reading_of
from equivdm.findings.verdicts import Comparison, Side, Where
from equivdm.study.config import ExperimentSpec

CONDITIONS = ("no condition", "soft edge")
"""What models are shown beside noise and caption."""

MOTION = ("cf_psnr", "epe")
"""Coherence, and motion alignment."""


@dataclass(frozen=True)
class Claims:
    """Of one experiment."""

    comparisons: Sequence[Comparison]
    shown: Sequence[str] = ()
    """Names of the videos that the page shows, beside the driving ones."""
    note: str = ""
    """What a reader must know to judge them."""


def _compare(metric: str, better: Side, worse: Side, factor: float = 1.0) -> Comparison:
    higher = reading_of(metric).higher
    assert higher is not None, f"{metric} has no better side"
    return Comparison(metric, better, worse, higher, factor)


def _in_both(
    better: str, worse: str, metrics: Sequence[str] = MOTION, at: tuple[Where, Where] = (None, None)
) -> list[Comparison]:
    """Compare under each condition; `at` has the places on the axis."""
    return [
        _compare(metric, Side(f"{better}, {condition}", at[0]), Side(f"{worse}, {condition}", at[1]))
        for condition in CONDITIONS
        for metric in metrics
    ]


def _at_high_noise(metric: str, variant: str, factor: float = 1.0, than: str = "independent") -> Comparison:
    return _compare(metric, Side(variant, "last"), Side(than, "last"), factor)


def _both_ways(names: Sequence[str], suffix: str = "") -> list[str]:
    return [f"{name}, {condition}{suffix}" for condition in CONDITIONS for name in names]


_PAIR = ("warped", "independent")

_OTHERS = (
    "go with the flow",
    "nearest",
    "bilinear",
    "noisy flow",
    "flow of another clip",
    "without occlusion",
    "one stored draw",
    "independent",
)

FEW_STEPS = _in_both("warped", "independent", at=(4.0, 32.0))
SAME_STEPS = [each for steps in (4.0, 32.0) for each in _in_both("warped", "independent", at=(steps, steps))]
STUDENTS = _in_both("warped student", "independent student")
EQUIVARIANCE = [_at_high_noise("equivariance_error", "warped", factor=5.0)]
INPUT_ALONE = [
    _at_high_noise("equivariance_error", "warped, beta 0.9", factor=5.0),
    _at_high_noise("equivariance_error", "trained independent, asked warped", factor=5.0),
    _at_high_noise("equivariance_error", "warped", than="trained independent, asked warped"),
]

_BEST_BETA = 0.9
_OTHER_BETAS = [beta for beta in ExperimentSpec().betas if beta != _BEST_BETA]

_MUCH_MORE = 2.0
"""What the paper's "much" is taken for, which it does not say."""

_TAEF2 = Side("latents of TAEF2")
_STEADY = ("means of 8 x 8 pixels", "warped noise, cells of 8 px", "warped noise, beta 0.9, cells of 8 px")

_BLUR = (
    "Cross-frame PSNR rises with blur and with low contrast. A side that is less sharp than the other has a head start "
    "in it."
)
_OF_MODEL_AND_INPUT = (
    "Each model is asked about noise of its own law, so that the error is of model and input together. A model that "
    "was trained on independent noise and is asked about warped noise tells how much of it the input does alone: where "
    "that is about as equivariant, this mostly measures the input, not what the training has learnt."
)
_SAME_CELLS = (
    "The latents have cells of 8 pixels, and a point between centres is interpolated, which changes with the size of "
    'the cells. So they are compared with pixels and noise on cells of 8 pixels. "Much more" is taken for '
    f"{_MUCH_MORE:g} times at least."
)
_ABSOLUTE = (
    "Both are absolute: a path that ends in a video of low contrast is shorter, and bends less. Read them beside the "
    "contrast of the ends, and beside the distance of the same noise to the driving clip, which no model is in."
)

CLAIMS: Mapping[str, Claims] = {
    "theorem41": Claims(
        [
            *EQUIVARIANCE,
            *(_at_high_noise(f"equivariance_error_{kind}", "warped") for kind in ("shift", "turn", "flip", "subpixel")),
            *INPUT_ALONE,
            _at_high_noise("equivariance_error_subpixel", "warped, beta 0.9"),
        ],
        note=_OF_MODEL_AND_INPUT,
    ),
    "tracked_points": Claims(
        [_compare("track_variation", Side(steady), _TAEF2, factor=_MUCH_MORE) for steady in _STEADY],
        note=_SAME_CELLS,
    ),
    "beta": Claims(
        [
            _compare(metric, Side(condition, _BEST_BETA), Side(condition, other))
            for other in _OTHER_BETAS
            for condition in CONDITIONS
            for metric in (*MOTION, "frechet_random_features")
        ],
        [f"beta {beta}, no condition" for beta in ("0", "0.5", "0.9", "1")],
    ),
    "trajectories": Claims(
        _in_both(*_PAIR, metrics=("straightness", "noise_to_video_distance")),
        note=_ABSOLUTE,
    ),
    "steps": Claims(
        [*FEW_STEPS, *SAME_STEPS, *_in_both(*_PAIR, metrics=("frechet_random_features",), at=(4.0, 32.0))],
        [f"{name}, no condition, {steps} steps" for name, steps in (("warped", 1), ("warped", 4), ("warped", 32))]
        + ["independent, no condition, 4 steps", "independent, no condition, 32 steps"],
    ),
    "students": Claims(
        [*STUDENTS, *_in_both("warped student", "independent student", metrics=("frechet_random_features",))],
        _both_ways(("warped student", "independent student")),
    ),
    "v2v": Claims(_in_both(*_PAIR), _both_ways(_PAIR)),
    "ablations": Claims(
        [comparison for other in _OTHERS for comparison in _in_both("particles", other)],
        [f"{name}, no condition" for name in ("particles", "bilinear", "flow of another clip", "one stored draw")],
    ),
}


@dataclass(frozen=True)
class Bar:
    """What the reproduction is to reach."""

    says: str
    experiment: str
    comparisons: Sequence[Comparison]
    """All of them must show."""
    note: str
    """What a reader must know to judge it."""
    beside: Sequence[Comparison] = ()
    """Shown with it, and not counted."""


BARS = (
    Bar(
        "EquiVDM at 4 steps is better than the independent model at 32, in cross-frame PSNR and motion error",
        "steps",
        FEW_STEPS,
        _BLUR,
        SAME_STEPS,
    ),
    Bar(
        "The one-step EquiVDM student is better than the one-step independent student, in both",
        "students",
        STUDENTS,
        _BLUR,
    ),
    Bar(
        "The equivariance error at high noise is at least 5 times lower",
        "theorem41",
        EQUIVARIANCE,
        _OF_MODEL_AND_INPUT,
        INPUT_ALONE,
    ),
)
