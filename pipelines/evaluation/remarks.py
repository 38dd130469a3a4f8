"""What must be known beside the figures of an evaluation, in words."""

from collections import Counter
from collections.abc import Iterable

from equivdm.metrics import METRICS
from pipelines.evaluation.comparison import Comparison
from pipelines.evaluation.pairs import Pair


def remarks(found: Comparison) -> list[str]:
    """Return what must be known beside the figures: which clips they are of, what is missing, what was left out."""
    scores = found.scores
    total, common = len({clip for own in scores.pairs.values() for clip in own}), len(scores.common)
    systems = len(scores.job.names)
    lines = [f"{counted(total, 'clip')}, of which {common} measured of {'both' if systems == 2 else f'all {systems}'}"]
    lines = lines if systems > 1 else []
    failed = Counter({name: len(paths) for name, paths in failed_paths(found).items()})
    rendered = {clip for name in scores.job.renders for clip in scores.pairs[name]}
    for name in scores.job.names:
        lacking = len(rendered - scores.pairs[name].keys()) if name in scores.job.renders else 0
        parts = [
            f"{failed[name]} failed" if failed[name] else "",
            f"{scores.missing[name]} driving videos without one" if scores.missing.get(name) else "",
            f"{counted(lacking, 'clip')} of the other sets without one" if lacking else "",
        ]
        if any(parts):
            lines.append(f"of {name}: {counted(len(scores.pairs[name]), 'video')}, {', '.join(filter(None, parts))}")
    if scores.pending:
        lines.append(f"{counted(scores.pending, 'value')} not found yet: run evaluate again")
    lines += [*_lengths(found), *_layouts(found), *_captions(found)]
    return [*lines, *(f"left out: {why}" for why in scores.left_out.values()), *_of_sets(found)]


def failed_paths(found: Comparison) -> dict[str, set[str]]:
    """Return the paths of the videos of which something failed, by system."""
    paths: dict[str, set[str]] = {}
    for failure in found.scores.failures:
        if failure.path:
            paths.setdefault(failure.name, set()).add(failure.path)
    return paths


def _lengths(found: Comparison) -> list[str]:
    scores, lines = found.scores, []
    lengths = {name: {pair.length for pair in own.values()} for name, own in scores.pairs.items() if own}
    if len(set().union(*lengths.values())) > 1 if lengths else False:
        said = ", ".join(f"{name} {_span(own)}" for name, own in lengths.items())
        lines.append(f"videos differ in length, in frames: {said}; what grows with the length is not comparable")
    cut = sum(pair.frames < pair.length for own in scores.pairs.values() for pair in own.values())
    if cut:
        most = scores.job.match.max_frames
        lines.append(f"{counted(cut, 'video')} longer than match.max_frames: their first {most} frames are measured")
    return lines


def _layouts(found: Comparison) -> list[str]:
    """Say where systems were measured on one clip at other sizes, or by other frames of its driving video."""
    by_clip: dict[str, list[Pair]] = {}
    for own in found.scores.pairs.values():
        for clip, pair in own.items():
            by_clip.setdefault(clip, []).append(pair)
    sizes = sum(len({pair.laid.size for pair in pairs}) > 1 for pairs in by_clip.values())
    frames = sum(len({pair.indices[:2] for pair in pairs}) > 1 for pairs in by_clip.values())
    lines = []
    if sizes:
        lines.append(f"videos of {counted(sizes, 'clip')} differ in size: what is in px, and FVD, is not comparable")
    if frames:
        what = "what is measured from frame to frame is not comparable"
        lines.append(f"videos of {counted(frames, 'clip')} differ in start or stride: {what}")
    return lines


def _captions(found: Comparison) -> list[str]:
    """Say whose videos have no caption, where a metric needs one."""
    scores = found.scores
    given = {metric for values in scores.values.values() for metric in values if "caption" in METRICS[metric].needs}
    silent = {name: sum(not pair.caption for pair in own.values()) for name, own in scores.pairs.items()}
    return [
        f"of {name}: {number} of {counted(len(scores.pairs[name]), 'video')} without a caption, left out of "
        f"{', '.join(sorted(given))}"
        for name, number in silent.items()
        if given and number
    ]


def _of_sets(found: Comparison) -> list[str]:
    scores = found.scores
    same: dict[int, list[str]] = {}
    for metric, clips in scores.set_clips.items():
        if len(scores.job.names) > 1 and any(metric in values for values in scores.sets.values()):
            same.setdefault(len(clips), []).append(metric)
    lines = [f"{', '.join(own)}: of {counted(number, 'clip')} that all systems have" for number, own in same.items()]
    failures = (failure for failure in scores.failures if not failure.path)
    return lines + [f"of {each.name}: {each.metric} cannot be measured: {each.message}" for each in failures]


def _span(numbers: Iterable[int]) -> str:
    least, most = min(numbers), max(numbers)
    return str(least) if least == most else f"{least} to {most}"


def counted(number: int, noun: str) -> str:
    """`1 clip`, `2 clips`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
