"""Systems beside their driving videos, without Ray: known answers, every misfit a row, and only what is missing."""

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch

from equivdm.arrays import Frames
from equivdm.errors import UsageError
from equivdm.metrics import Case
from equivdm.metrics.coherence import CEILING
from equivdm.metrics.distributions import frechet_distance
from equivdm.metrics.statistics import contrast
from equivdm.networks.features import inception_features
from equivdm.render_config import FrameConfig
from equivdm.video.frame import fit
from pipelines.audit import audit
from pipelines.batch import commit
from pipelines.config import EvaluateJob
from pipelines.evaluate import run
from pipelines.evaluation.comparison import compare
from pipelines.evaluation.scores import read_scores
from pipelines.evaluation.wanted import Measures
from pipelines.plan import make_plan
from pipelines.quarantine import quarantined, take_out
from pipelines.status import job_status
from pipelines.tables import Row
from tests.equivdm.networks.test_features import Colours
from tests.pipelines.systems import (
    evaluate_job,
    evaluated,
    noisy,
    prepared,
    scene,
    settled,
    write,
    write_driving,
    write_system,
)

FEW = ("flicker", "contrast", "psnr")


def values(rows: list[Row], metric: str) -> dict[str, float]:
    """Return the values of a metric by path."""
    return {row["path"]: row["value"] for row in rows if row["metric"] == metric}


@pytest.fixture
def driving(tmp_path: Path) -> Mapping[str, Frames]:
    """Three driving videos of six frames."""
    return write_driving(tmp_path / "driving")


def test_a_system_that_is_its_driving_video_moves_and_looks_like_it(
    driving: Mapping[str, Frames], tmp_path: Path
) -> None:
    write_system(tmp_path / "same", driving, lambda frames: frames)
    write_system(tmp_path / "noisy", driving, lambda frames: noisy(frames, 20))
    found, rows = evaluated(evaluate_job(tmp_path, "same", "noisy", metrics=("cf_psnr", "epe", "psnr", "contrast")))
    assert {row["outcome"] for row in rows} == {"done"}
    assert len(rows) == 2 * 3 * 4
    assert {values(rows, "epe")[f"same/{name}.mkv"] for name in driving} == {0.0}
    assert {values(rows, "psnr")[f"same/{name}.mkv"] for name in driving} == {CEILING}
    scores = compare(read_scores(found))
    assert scores.best("epe") == scores.best("psnr") == scores.best("cf_psnr") == "same"
    less = scores.differences["noisy"]
    assert (less["epe"].wins, less["epe"].interval.count) == (0, 3)
    assert less["cf_psnr"].interval.high < 0
    assert less["contrast"].wins == -1


@pytest.mark.parametrize("system", [{"start": 2}, {"stride": 2}, {"start": 1, "stride": 3}])
def test_frame_k_belongs_to_the_driving_frame_that_start_and_stride_say(system: dict, tmp_path: Path) -> None:
    frames = write_driving(tmp_path / "driving", ["a"], frames=12)["a"]
    own = frames[system.get("start", 0) :: system.get("stride", 1)][:4]
    write(tmp_path / "later" / "a.mkv", own)
    _, rows = evaluated(evaluate_job(tmp_path, {"name": "later", **system}, metrics=("psnr", "epe")))
    assert values(rows, "psnr") == {"later/a.mkv": CEILING}
    assert values(rows, "epe") == {"later/a.mkv": 0.0}
    _, rows = evaluated(evaluate_job(tmp_path, "later", metrics=("psnr",)))
    assert values(rows, "psnr")["later/a.mkv"] < CEILING


@pytest.mark.parametrize("rule", ["crop", "pad", "stretch"])
def test_a_driving_video_is_brought_to_the_generated_ones_size_as_the_rule_says(rule: str, tmp_path: Path) -> None:
    (frames,) = write_driving(tmp_path / "driving", ["a"], size=(96, 96)).values()
    shown = fit((96, 96), FrameConfig.model_validate({"height": 32, "width": 48, "rule": rule}), 1)
    write(tmp_path / "same" / "a.mkv", np.stack([shown.apply(frame) for frame in frames]))
    for other in ("crop", "pad", "stretch"):
        _, rows = evaluated(evaluate_job(tmp_path, "same", metrics=("psnr",), match={"rule": other}))
        assert (values(rows, "psnr")["same/a.mkv"] == CEILING) == (other == rule)


def test_what_cannot_be_measured_is_a_row_with_its_reason(driving: Mapping[str, Frames], tmp_path: Path) -> None:
    folder = tmp_path / "odd"
    write(folder / "a.mkv", driving["a"])
    write(folder / "nobody.mkv", driving["a"])
    write(folder / "c.mkv", scene(2, frames=9))
    write(tmp_path / "driving" / "deep" / "b.mkv", driving["b"])
    write(tmp_path / "driving" / "deep" / "b.mp4.mkv", driving["b"])
    (tmp_path / "driving" / "deep" / "b.webm").write_bytes(b"another of the same stem")
    write(folder / "deep" / "b.mkv", driving["b"][:4])
    write(folder / "deep" / "b.avi", driving["b"])
    (folder / "b.mkv").write_bytes(b"no video")
    job = evaluate_job(tmp_path, {"name": "odd", "frames": 6}, metrics=FEW)
    found, rows = evaluated(job)
    reasons = {row["path"]: f"{row['error']}: {row['message']}" for row in rows if row["metric"] is None}
    assert {path: reason.partition(", wanted")[0] for path, reason in reasons.items()} == {
        "odd/b.mkv": reasons["odd/b.mkv"],
        "odd/nobody.mkv": "Unmatched: got no driving video 'nobody'",
        "odd/c.mkv": "WrongLength: got 9 frames",
        "odd/deep/b.mkv": "WrongLength: got 4 frames",
        "odd/deep/b.avi": "Unmatched: got several driving videos, deep/b.mkv and deep/b.webm",
    }
    assert reasons["odd/b.mkv"].startswith("NotAVideo: ")
    assert {row["path"] for row in rows if row["outcome"] == "done"} == {"odd/a.mkv"}
    scores = read_scores(found)
    assert Counter(failure.name for failure in scores.failures) == {"odd": 5}
    assert scores.missing == {"odd": 2}  # of six driving videos; those that are broken or too long have one
    assert audit(job).counts["quarantined"] == job_status(job).counts["quarantined"] == len(quarantined(job)) == 5
    assert len(take_out(job, ["odd/c.mkv"], again=False)) == 1
    assert make_plan(job).counts["pending"] == 0
    assert len(take_out(job, ["NotAVideo"], again=True)) == 1
    assert (make_plan(job).unprobed, make_plan(job).counts["pending"]) == (1, 1)
    assert [row["outcome"] for row in evaluated(job)[1]] == ["quarantined"]


def test_a_video_that_is_longer_than_its_driving_video_says_so(driving: Mapping[str, Frames], tmp_path: Path) -> None:
    write(tmp_path / "long" / "a.mkv", scene(0, frames=7))
    _, rows = evaluated(evaluate_job(tmp_path, "long", metrics=FEW))
    assert [(row["outcome"], row["error"]) for row in rows] == [("quarantined", "WrongLength")]
    assert "the last of which belongs to frame 6 of the driving video a.mkv, which has 6" in rows[0]["message"]


def test_a_table_says_which_driving_video_is_whose(driving: Mapping[str, Frames], tmp_path: Path) -> None:
    for number, name in enumerate(driving):
        write(tmp_path / "out" / f"sample{number}.mkv", driving[name])
    lines = ["path,driving", "sample0.mkv,a", "sample1.mkv,b.mkv", "sample2.mkv,gone"]
    (tmp_path / "pairs.csv").write_text("\n".join(lines))
    system = {"name": "out", "manifest": str(tmp_path / "pairs.csv")}
    _, rows = evaluated(evaluate_job(tmp_path, system, metrics=("psnr",)))
    assert values(rows, "psnr") == {"out/sample0.mkv": CEILING, "out/sample1.mkv": CEILING}
    assert [row["path"] for row in rows if row["error"] == "Unmatched"] == ["out/sample2.mkv"]


def test_a_name_in_a_table_may_hold_points_or_be_a_number(driving: Mapping[str, Frames], tmp_path: Path) -> None:
    for name, frames in {"clip": driving["a"], "clip.v2": driving["b"], "7": driving["c"]}.items():
        write(tmp_path / "driving" / f"{name}.mkv", frames)
    for number, name in enumerate(driving):
        write(tmp_path / "out" / f"{number}.mkv", driving[name])
    rows = [{"path": "0.mkv", "driving": "clip.mp4"}, {"path": "1.mkv", "driving": "clip.v2"}]
    rows += [{"path": "2.mkv", "driving": 7}]
    (tmp_path / "pairs.jsonl").write_text("\n".join(map(json.dumps, rows)))
    job = evaluate_job(tmp_path, {"name": "out", "manifest": str(tmp_path / "pairs.jsonl")}, metrics=("psnr",))
    assert set(values(evaluated(job)[1], "psnr").values()) == {CEILING}


def test_several_videos_of_one_driving_video_all_count(driving: Mapping[str, Frames], tmp_path: Path) -> None:
    names = ["s0", "s1", "s2"]
    for number, name in enumerate(names):
        write(tmp_path / "out" / f"{name}.mkv", noisy(driving["a"], 10 * (number + 1)))
    (tmp_path / "pairs.csv").write_text("\n".join(["path,driving", *(f"{name}.mkv,a" for name in names)]))
    system = {"name": "out", "manifest": str(tmp_path / "pairs.csv")}
    found, rows = evaluated(evaluate_job(tmp_path, system, metrics=("psnr",)))
    assert sorted(read_scores(found).values["out"]["psnr"].values()) == sorted(values(rows, "psnr").values())
    assert len(set(values(rows, "psnr").values())) == 3


def test_only_what_is_missing_is_computed(driving: Mapping[str, Frames], tmp_path: Path) -> None:
    write_system(tmp_path / "one", driving, lambda frames: noisy(frames, 5))
    first = evaluate_job(tmp_path, "one", metrics=("contrast", "psnr"))
    assert len(evaluated(first)[1]) == 3 * 2
    assert evaluated(first)[1] == []
    more = first.model_copy(update={"metrics": FEW})
    assert Counter(row["metric"] for row in evaluated(more)[1]) == {"flicker": 3}
    write_system(tmp_path / "two", driving, lambda frames: noisy(frames, 9))
    both = evaluate_job(tmp_path, "one", "two", metrics=FEW)
    assert make_plan(both).unprobed == 3
    assert {row["name"] for row in evaluated(both)[1]} == {"two"}
    renamed = evaluate_job(tmp_path, {"name": "renamed", "root": str(tmp_path / "two")}, metrics=FEW)
    found, rows = evaluated(renamed)
    assert rows == []  # the same bytes under another name
    assert set(read_scores(found).values["renamed"]) == set(FEW)
    judged = both.model_copy(update={"flow": both.flow.model_copy(update={"preset": "fast"})})
    assert evaluated(judged)[1] == []  # none of them needs motion
    (pair, *_), both_judges = found.pairs, (Measures(each, ()) for each in (both, judged))
    keys = [[judge.metric(pair, name).key for name in ("psnr", "epe")] for judge in both_judges]
    assert [first == second for first, second in zip(*keys, strict=True)] == [True, False]


def test_a_changed_video_is_measured_anew(driving: Mapping[str, Frames], tmp_path: Path) -> None:
    write_system(tmp_path / "one", driving, lambda frames: noisy(frames, 5))
    job = evaluate_job(tmp_path, "one", metrics=("psnr",))
    evaluated(job)
    write(tmp_path / "one" / "b.mkv", driving["b"])
    assert values(evaluated(job)[1], "psnr") == {"one/b.mkv": CEILING}


def test_bytes_that_changed_after_the_probe_get_no_value(driving: Mapping[str, Frames], tmp_path: Path) -> None:
    write_system(tmp_path / "one", {"a": driving["a"]}, lambda frames: frames)
    job = evaluate_job(tmp_path, "one", metrics=("contrast",))
    found, (row,) = prepared(job)
    write(tmp_path / "one" / "a.mkv", driving["b"])
    (ended,) = commit(list(settled(row, job, found.store)), found.table)
    assert (ended["outcome"], ended["error"], ended["value"]) == ("quarantined", "DamagedVideo", None)
    (anew,) = evaluated(job)[1]
    assert anew["value"] == pytest.approx(contrast(Case(driving["b"])))


def test_a_file_of_two_roots_has_the_path_that_each_lists(driving: Mapping[str, Frames], tmp_path: Path) -> None:
    write_system(tmp_path / "all" / "one", driving, lambda frames: frames)
    wide = evaluate_job(tmp_path, "all", metrics=("contrast",))
    assert {row["error"] for row in evaluated(wide)[1]} == {"Unmatched"}  # of all/one/a.mkv
    inner = {"name": "one", "root": str(tmp_path / "all" / "one")}
    _, rows = evaluated(evaluate_job(tmp_path, inner, metrics=("contrast",)))
    assert {row["path"] for row in rows} == {f"one/{name}.mkv" for name in driving}


def test_what_keeps_a_part_from_being_there_costs_the_metrics_that_need_it(
    driving: Mapping[str, Frames], tmp_path: Path
) -> None:
    write_system(tmp_path / "one", {"a": driving["a"]}, lambda frames: frames)
    write_system(tmp_path / "reference", driving, lambda frames: frames)
    job = evaluate_job(
        tmp_path, "one", metrics=("epe", "contrast", "psnr"), reference={"root": str(tmp_path / "reference")}
    )
    found, (row,) = prepared(job)
    (tmp_path / "reference" / "a.mkv").rename(tmp_path / "kept.mkv")
    rows = commit(list(settled(row, job, found.store)), found.table)
    assert {row["metric"]: row["outcome"] for row in rows} == {"contrast": "done", "epe": "done", "psnr": "failed"}
    assert {row["error"] for row in rows if row["error"]} == {"AbsentVideo"}
    (tmp_path / "kept.mkv").rename(tmp_path / "reference" / "a.mkv")
    assert values(evaluated(job)[1], "psnr") == {"one/a.mkv": CEILING}


def test_a_reference_of_its_own_is_what_fidelity_is_measured_by(driving: Mapping[str, Frames], tmp_path: Path) -> None:
    write_system(tmp_path / "styled", driving, lambda frames: 255 - frames)
    write_system(tmp_path / "wanted", driving, lambda frames: 255 - frames)
    job = evaluate_job(tmp_path, "styled", metrics=("psnr",))
    assert max(values(evaluated(job)[1], "psnr").values()) < 20
    against = evaluate_job(tmp_path, "styled", metrics=("psnr",), reference={"root": str(tmp_path / "wanted")})
    assert set(values(evaluated(against)[1], "psnr").values()) == {CEILING}


def test_a_reference_that_cannot_be_had_costs_only_what_needs_it(driving: Mapping[str, Frames], tmp_path: Path) -> None:
    write_system(tmp_path / "one", driving, lambda frames: frames)
    write(tmp_path / "reference" / "a.mkv", driving["a"][:4])
    (tmp_path / "reference" / "b.mkv").write_bytes(b"no video")
    job = evaluate_job(tmp_path, "one", metrics=("contrast", "psnr"), reference={"root": str(tmp_path / "reference")})
    rows = evaluated(job)[1]
    assert [row["outcome"] for row in rows if row["metric"] == "contrast"] == ["done"] * 3
    reasons = {row["path"]: row["message"] for row in rows if row["error"] == "NoReference"}
    assert "belongs to frame 5 of the reference video a.mkv, which has 4" in reasons["one/a.mkv"]
    assert reasons["one/b.mkv"].startswith("reference video b.mkv: ")
    assert reasons["one/c.mkv"].startswith("got no reference video 'c'")
    write(tmp_path / "reference" / "c.mkv", driving["c"])
    assert values(evaluated(job)[1], "psnr")["one/c.mkv"] == CEILING


def test_long_videos_are_measured_on_their_first_frames(driving: Mapping[str, Frames], tmp_path: Path) -> None:
    half = {name: np.concatenate([frames[:3], noisy(frames[3:], 60)]) for name, frames in driving.items()}
    write_system(tmp_path / "half", half, lambda frames: frames)
    _, rows = evaluated(evaluate_job(tmp_path, "half", metrics=("psnr",), match={"max_frames": 3}))
    assert set(values(rows, "psnr").values()) == {CEILING}
    assert {row["length"] for row in rows} == {3}


def saved(module: torch.nn.Module, path: Path) -> str:
    """Write a network as a file of weights."""
    torch.jit.script(module).save(str(path))
    return str(path)


def test_whole_sets_are_compared_by_stored_features_those_of_driving_videos_looked_at_once(
    driving: Mapping[str, Frames], tmp_path: Path
) -> None:
    network = saved(Colours(), tmp_path / "colours.pt")
    dark = {name: np.maximum(frames, 40) - 40 for name, frames in driving.items()}
    write_system(tmp_path / "same", driving, lambda frames: frames)
    write_system(tmp_path / "dark", dark, lambda frames: frames)
    job = evaluate_job(tmp_path, "same", "dark", metrics=("fid",), weights={"inception": network})
    found, rows = evaluated(job)
    assert len(rows) == 3 + 2 * 3
    scores = read_scores(found)
    seen = [
        np.concatenate([inception_features(frames, network, "cpu") for frames in videos.values()])
        for videos in (dark, driving)
    ]
    assert scores.sets["dark"]["fid"] == pytest.approx(frechet_distance(*([each] for each in seen)), rel=1e-6)
    assert scores.sets["same"]["fid"] == pytest.approx(0, abs=1e-6)
    assert evaluated(job)[1] == []
    kid = job.model_copy(update={"metrics": ("fid", "kid")})
    assert evaluated(kid)[1] == []  # of the same features
    lacking = {"name": "same", "exclude": ("c.mkv",)}
    scores = read_scores(evaluated(evaluate_job(tmp_path, lacking, "dark", metrics=("fid",), weights=job.weights))[0])
    assert len(scores.set_clips["fid"]) == 2  # the third is not the dark ones' alone
    two = [
        np.concatenate([inception_features(videos[name], network, "cpu") for name in "ab"])
        for videos in (dark, driving)
    ]
    assert scores.sets["dark"]["fid"] == pytest.approx(frechet_distance(*([each] for each in two)), rel=1e-6)
    assert audit(job).ok
    lost = found.store.table("features").files()[0]
    Path(found.store.path("features", lost.name)).write_bytes(b"damaged")
    assert [problem.partition(":")[0] for problem in audit(job).problems] == [f"features/{lost.name}"]


def test_metrics_that_are_unknown_are_refused_and_those_without_a_network_named(tmp_path: Path) -> None:
    driving = write_driving(tmp_path / "driving", ["a"])
    write_system(tmp_path / "same", driving, lambda frames: frames)
    with pytest.raises(UsageError, match="metrics: got 'beauty', wanted some of cf_psnr, "):
        evaluated(evaluate_job(tmp_path, "same", metrics=("beauty",)))
    found, rows = evaluated(evaluate_job(tmp_path, "same", metrics=("contrast", "fid")))
    assert [row["metric"] for row in rows] == ["contrast"]
    assert read_scores(found).left_out == {"fid": "fid: needs weights.inception"}
    with pytest.raises(UsageError, match=r"metrics: got none that can be measured: fid: needs weights\.inception"):
        evaluated(evaluate_job(tmp_path, "same", metrics=("fid",)))
    with pytest.raises(UsageError, match=r"weights: .*gone\.pt cannot be read"):
        evaluated(evaluate_job(tmp_path, "same", metrics=("fid",), weights={"inception": str(tmp_path / "gone.pt")}))


def test_a_report_that_cannot_be_written_is_refused_before_anything_is_measured(tmp_path: Path) -> None:
    write_system(tmp_path / "same", write_driving(tmp_path / "driving", ["a"]), lambda frames: frames)
    (tmp_path / "page").write_text("a file")
    job = evaluate_job(tmp_path, "same", metrics=("contrast",), report=str(tmp_path / "page" / "report"))
    with pytest.raises(UsageError, match=r"^report: got '.*/page/report', which cannot be written"):
        run(job)
    assert not (tmp_path / "store" / "probes").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"systems": []}, "got neither renders nor systems"),
        ({"driving": None}, "driving: got none, wanted the driving videos of the systems"),
        ({"baseline": "nobody"}, "baseline: got 'nobody', wanted one of a"),
        ({"renders": ["a"]}, "got the name 'a' twice"),
        ({"flow": {"kind": "file"}}, "flow.kind: got file, wanted dis or raft"),
    ],
)
def test_a_job_that_cannot_work_is_refused(changes: dict, message: str, tmp_path: Path) -> None:
    values = evaluate_job(tmp_path, "a").model_dump(mode="json") | changes
    with pytest.raises(ValueError, match=message):
        EvaluateJob.model_validate(values)
