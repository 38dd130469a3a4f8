"""The page of what experiments found, as Markdown: its figures and verdicts follow from numbers."""

from collections.abc import Iterable, Sequence

from equivdm.findings.bars import anchor, bars
from equivdm.findings.claims import CLAIMS
from equivdm.findings.readings import reading_of
from equivdm.findings.result import About, Result
from equivdm.findings.tables import by_metric, by_place, compared
from equivdm.findings.trials import RESAMPLES
from equivdm.findings.verdicts import LEAST_TRAININGS, Comparison, Verdict, judge
from equivdm.video.photographs import PHOTOGRAPHS

TRIAL_RUN = "> **These numbers say nothing.** The page is of `--size tiny`, which shows only that everything runs."

_COUNTED: tuple[Verdict, ...] = ("shows", "does not show", "the other way", "too few trainings", "not measured")


def render(results: Sequence[Result], about: About) -> str:
    """Return the page."""
    lines = ["# What the paper's claims come to here", ""]
    lines += [TRIAL_RUN, ""] if about.trial_run else []
    lines += _about(about)
    lines += ["## The bars", "", *bars(results), ""]
    lines += ["## The claims", "", *_overview(results), ""]
    lines += ["## How to read this", "", *_reading(), ""]
    for result in results:
        lines += _section(result)
    return "\n".join(lines).rstrip() + "\n"


def _about(about: About) -> list[str]:
    first, last = about.dates
    when = first if first == last else f"{first} to {last}"
    took = f"{about.seconds:,.0f} s of computing"
    if about.wall_seconds is not None:
        took += f", {about.wall_seconds:,.0f} s by the clock"
    return [
        f"Made by `{about.command}`: every table, plot and verdict below is computed, none is written by hand.",
        "",
        *(f"- Machine: {machine}" for machine in about.machines),
        f"- Date: {when}",
        f"- Time: {took}",
        "",
    ]


def _overview(results: Iterable[Result]) -> list[str]:
    lines = [f"| experiment | {' | '.join(_COUNTED)} |", f"|{'---|' * (1 + len(_COUNTED))}"]
    for result in results:
        found = [judge(comparison, result.trials).verdict for comparison in comparisons_of(result.name)]
        counts = [str(found.count(each)) for each in _COUNTED]
        lines.append(f"| [{result.title}](#{anchor(result.name)}) | {' | '.join(counts)} |")
    return ["Comparisons of each experiment, by verdict:", "", *lines]


def _reading() -> list[str]:
    return [
        f"A cell is a mean over seeds and held-out clips, and a nominal 95% interval: a bootstrap of {RESAMPLES:,} "
        "draws in which seeds (a training each, with clips of its own) are drawn anew with replacement, then clips "
        "within each seed drawn; what is measured of all clips at once is drawn by seed alone.",
        "",
        "With three seeds such an interval is too narrow. In a simulation of 3 normal seeds of 12 clips it held the "
        "true mean in 75% of cases where all spread was between seeds, in 80% where seeds and clips spread alike, and "
        "in 92% where clips spread three times as much. Two sides that were alike came out as **shows** in 4%, 3% and "
        "0.5% of cases.",
        "",
        "A comparison **shows** where the two intervals do not overlap and lie as claimed; it is **the other way** "
        "where they do not overlap and lie the other way round; in all other cases it **does not show**. A comparison "
        "by so many times **shows** where the interval of the ratio of the two means lies above that factor, and it is "
        "**the other way** where it lies below 1; clips and seeds are drawn for both sides together. With fewer "
        f"than {LEAST_TRAININGS} seeds it is none of these: **too few trainings**. Nothing corrects for the number of "
        "comparisons.",
        "",
        "↑ marks metrics of which higher is better, ↓ those of which lower is better. `driving` is the driving clips "
        "themselves.",
        "",
        "Cross-frame PSNR compares each frame with the one before, moved along. Where a video is blurred or flat, "
        "frames differ less, and it rises though nothing moves better: read it beside sharpness and contrast, which "
        "should be those of `driving`. Motion error judges how things move, and is "
        "blind to how they look.",
        "",
        "Held-out clips are other cuttings, colours and motion of the same "
        f"{len(PHOTOGRAPHS)} photographs that the training clips are "
        "cut from. So nothing here tells how models do on material that they have never seen; what is compared is "
        "trained and measured on the same clips.",
    ]


def _section(result: Result) -> list[str]:
    lines = [f'<a id="{anchor(result.name)}"></a>', "", f"## {result.title}", "", f"> {result.claim}", ""]
    if not result.trials.rows:
        return [*lines, f"Not measured. `{result.command}` measures it.", ""]
    note = CLAIMS[result.name].note if result.name in CLAIMS else ""
    lines += [_sizes(result), "", *([note, ""] if note else [])]
    lines += [*compared(comparisons_of(result.name), result), ""]
    for picture in result.pictures:
        lines += [picture, ""]
    lines += _tables(result)
    lines += [f"- {note}" for note in result.notes]
    return [*lines, ""] if result.notes else lines


def _sizes(result: Result) -> str:
    trials, done = result.trials, len(result.trials.seeds)
    seeds = _plural(done, "seed") if done == result.wanted else f"{done} of {_plural(result.wanted, 'seed')}"
    models = _plural(result.models, "model") if result.models else "no model"
    return (
        f"`{result.command}`: {seeds}, {trials.clips} held-out clips each, {models}, {result.seconds:,.0f} s of "
        "computing."
    )


def _tables(result: Result) -> list[str]:
    metrics = [metric for metric in result.metrics if result.trials.variants(metric)]
    if result.axis is None:
        return [*by_metric(result.trials, metrics), ""]
    lines: list[str] = []
    for metric in metrics:
        lines += [f"{_capital(reading_of(metric).heading)}:", "", *by_place(result, metric), ""]
    return lines


def comparisons_of(experiment: str) -> Sequence[Comparison]:
    """Return what an experiment must show; nothing is claimed of one that nobody has written comparisons for."""
    return CLAIMS[experiment].comparisons if experiment in CLAIMS else ()


def _plural(count: int, name: str) -> str:
    return f"{count} {name}" if count == 1 else f"{count} {name}s"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
