"""The command: what it offers, what it loads, and what each kind of bad input gets."""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from equivdm.errors import EquivdmError, UsageError
from jobs import cli
from tests.pipelines.small_store import METRICS, fill

GOLDEN = Path(__file__).parent / "golden" / "options.txt"
"""Every verb and option as text. `EQUIVDM_RENEW=1 pytest tests/jobs/test_cli.py` writes it anew."""


def equivdm(*argv: str) -> "subprocess.CompletedProcess[str]":
    """Run the command in a process of its own."""
    return subprocess.run([sys.executable, "-m", "jobs.cli", *argv], capture_output=True, text=True, check=False)


def options(parser: argparse.ArgumentParser, verb: str = "equivdm") -> list[str]:
    """A line per verb and option. Argparse's own layout differs between versions of Python; this does not."""
    lines = [f"{verb}: {parser.description}"]
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            continue
        names = "/".join(action.option_strings) or "argument"
        lines.append(" ".join(filter(None, [f"  {names}", str(action.metavar or ""), f"-- {action.help}"])))
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, below in action.choices.items():
                lines += options(below, f"{verb} {name}")
    return lines


def test_verbs_and_options_are_those_that_were_agreed() -> None:
    found = "\n".join(options(cli.parser())) + "\n"
    if os.environ.get("EQUIVDM_RENEW"):
        GOLDEN.write_text(found)
    assert found == GOLDEN.read_text()


def test_help_and_version_are_printed() -> None:
    shown = equivdm("--help")
    assert shown.returncode == 0
    assert shown.stdout.startswith("usage: equivdm [-h] [--version] [--debug] VERB ...")
    assert equivdm("--version").stdout.startswith("equivdm 0.")


def test_no_verb_prints_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([]) == 2
    assert capsys.readouterr().out.startswith("usage: equivdm")


def test_checking_a_spec_loads_neither_torch_nor_ray() -> None:
    program = (
        "import sys; from jobs.cli import parser; from jobs.specs import load_spec\n"
        "parser(); load_spec('tiny_train')\n"
        "heavy = {'torch', 'ray', 'numpy', 'pyarrow', 'cv2', 'rich'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_bad_input_gets_one_line_and_no_traceback(tmp_path: Path) -> None:
    places = ["--set", f"source.root={tmp_path}/no", "--set", f"store.root={tmp_path}/store"]
    done = equivdm("preprocess", "tiny_preprocess", *places)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == (
        f"equivdm: source.root: got '{tmp_path}/no', which does not exist; "
        "wanted a folder or an s3:// prefix with videos\n"
    )


def bad(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    """The complaint of a command that must end with 2."""
    assert cli.main(argv) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err


@pytest.fixture
def places(tmp_path: Path) -> list[str]:
    """Settings for an empty source and a store that can be written."""
    (tmp_path / "videos").mkdir()
    return ["--set", f"source.root={tmp_path}/videos", "--set", f"store.root={tmp_path}/store"]


def test_an_empty_folder(capsys: pytest.CaptureFixture[str], tmp_path: Path, places: list[str]) -> None:
    assert bad(capsys, "preprocess", "tiny_preprocess", *places) == (
        f"equivdm: source.root: got '{tmp_path}/videos', which holds no video that matches "
        "include=['*'] and exclude=[]; wanted files that end in .avi .gif .m4v .mkv .mov .mp4 .mpeg .mpg .ts .webm\n"
    )


def test_an_unknown_field(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    spec = tmp_path / "own.yaml"
    spec.write_text("job: preprocess\nstore: {root: s}\nsource: {root: v}\nclip:\n  hight: 64\n")
    assert bad(capsys, "preprocess", str(spec)) == (
        f"equivdm: {spec}: unknown field 'clip.hight' (got 64): did you mean 'clip.height'?\n"
    )


def test_an_impossible_size(capsys: pytest.CaptureFixture[str], places: list[str]) -> None:
    complaint = bad(capsys, "preprocess", "tiny_preprocess", *places, "--set", "clip.height=67")
    assert complaint.startswith("equivdm: clip: ")
    assert "67" in complaint
    assert complaint.count("\n") == 1


def test_a_store_that_cannot_be_written(capsys: pytest.CaptureFixture[str], tmp_path: Path, places: list[str]) -> None:
    (tmp_path / "file").write_text("no folder")
    complaint = bad(capsys, "preprocess", "tiny_preprocess", *places, "--set", f"store.root={tmp_path}/file/store")
    assert complaint.startswith(f"equivdm: store.root: got '{tmp_path}/file/store', which cannot be written (")
    assert complaint.endswith("); wanted a folder or an s3:// prefix that this user may write to\n")


def test_a_store_without_clips_sends_to_preprocess(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    complaint = bad(capsys, "train", "tiny_train", "--set", f"store.root={tmp_path}/store")
    assert complaint.startswith("equivdm: data: got include=['*'] exclude=['holdout_*'], which selects none of 0")
    assert "run preprocess first" in complaint


@pytest.mark.parametrize(
    ("argv", "complaint"),
    [
        (["bake"], "argument VERB: invalid choice: 'bake'"),
        (["train"], "the following arguments are required: SPEC: see `equivdm train --help`"),
        (
            ["warp", "v", "-o", "a.npy", "--grid", "60"],
            "argument --grid: got '60', wanted height x width such as 60x104",
        ),
        (
            ["warp", "v", "-o", "a.npy", "--channels", "0"],
            "argument --channels: got '0', wanted a whole number from 1",
        ),
    ],
)
def test_a_command_line_that_cannot_be_read(
    capsys: pytest.CaptureFixture[str], argv: list[str], complaint: str
) -> None:
    assert bad(capsys, *argv).startswith(f"equivdm: {complaint}")


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--grid", "0x4"),
        ("--size", "4x"),
        ("--size", "ax4"),
        ("--stride", "-1"),
        ("--frames", "1.5"),
        ("--seed", "one"),
    ],
)
def test_a_number_that_is_none_is_named_with_its_option(
    capsys: pytest.CaptureFixture[str], option: str, value: str
) -> None:
    complaint = bad(capsys, "warp", "v", "-o", "a.npy", f"{option}={value}")
    assert complaint.startswith(f"equivdm: argument {option}: ")
    assert repr(value) in complaint
    assert complaint.endswith(": see `equivdm warp --help`\n")


def test_options_that_exclude_each_other_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    complaint = bad(capsys, "warp", "v", "-o", "a.npy", "--grid", "4x4", "--stride", "2")
    assert "argument --stride: not allowed with argument --grid" in complaint


def test_a_demo_of_no_videos_is_refused_before_anything_is_made(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert bad(capsys, "demo", "--limit", "0", "--out", str(tmp_path / "out")) == (
        "equivdm: --limit: got 0, wanted at least 1\n"
    )
    assert "which does not exist" in bad(capsys, "demo", "--videos", f"{tmp_path}/no", "--out", str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The settings of an evaluation that is done."""
    root = fill(tmp_path_factory.mktemp("finished"), clips=1).store.root
    settings = (
        f"store.root={root}",
        "renders=[independent,equivdm,student]",
        "bootstrap=100",
        f"metrics=[{','.join(METRICS)}]",
    )
    return ["tiny_evaluate", *(part for setting in settings for part in ("--set", setting))]


def test_an_audit_of_what_is_done_ends_with_0_and_of_what_is_not_with_1(
    capsys: pytest.CaptureFixture[str], finished: list[str]
) -> None:
    assert cli.main(["audit", *finished]) == 0
    assert "18 inputs = 18 done + 0 filtered + 0 quarantined + 0 pending; 0 new" in capsys.readouterr().out
    assert cli.main(["audit", *finished, "--set", "flow.preset=fast"]) == 1
    assert "18 inputs = 9 done + 0 filtered + 0 quarantined + 9 pending; 0 new" in capsys.readouterr().out


def test_a_job_that_is_done_is_done_again_without_a_cluster(
    capsys: pytest.CaptureFixture[str], finished: list[str]
) -> None:
    assert cli.main(["evaluate", *finished, "--set", "ray.address=127.0.0.1:9"]) == 0
    out = capsys.readouterr().out
    assert "18 done" in out
    assert "cf_psnr" in out


def test_a_report_says_where_it_is(capsys: pytest.CaptureFixture[str], finished: list[str], tmp_path: Path) -> None:
    assert cli.main(["report", *finished, "-o", str(tmp_path / "page")]) == 0
    assert capsys.readouterr().out == f"report: {tmp_path}/page/index.html\n"
    assert (tmp_path / "page" / "index.html").read_text().count("<video") == 5


def test_a_report_of_another_job_or_of_a_set_that_is_missing_is_refused(
    capsys: pytest.CaptureFixture[str], finished: list[str]
) -> None:
    assert bad(capsys, "report", "tiny_train") == (
        "equivdm: tiny_train is a spec of job 'train', wanted 'evaluate': run `equivdm train tiny_train`\n"
    )
    complaint = bad(capsys, "report", *finished, "--set", "renders=[nobody]")
    assert complaint.startswith("equivdm: renders: got 'nobody', wanted one of ['equivdm', 'independent', 'student']")


def test_a_look_at_what_is_done_ends_with_0_and_says_so_in_json_too(
    capsys: pytest.CaptureFixture[str], finished: list[str]
) -> None:
    for verb in ("plan", "status"):
        assert cli.main([verb, *finished]) == 0
        assert "evaluate: 18 inputs = 18 done + 0 filtered + 0 quarantined + 0 pending" in capsys.readouterr().out
        assert cli.main([verb, *finished, "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        assert (found["job"], found["counts"]["done"]) == ("evaluate", 18)
    assert cli.main(["status", *finished, "--set", "flow.preset=fast"]) == 1
    assert cli.main(["plan", *finished, "--set", "flow.preset=fast"]) == 0
    assert "no figure before a run has measured every stage" in capsys.readouterr().out


def test_machines_that_say_nothing_are_refused(capsys: pytest.CaptureFixture[str], finished: list[str]) -> None:
    assert "--gpus: got it without --cpus" in bad(capsys, "plan", *finished, "--gpus", "8")
    assert "--cpus: a training is planned for its own" in bad(capsys, "plan", "tiny_train", "--cpus", "8")


def test_an_empty_quarantine_is_listed_and_emptied(capsys: pytest.CaptureFixture[str], finished: list[str]) -> None:
    assert cli.main(["quarantine", "list", *finished, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == []
    assert cli.main(["quarantine", "release", *finished, "--all"]) == 0
    assert capsys.readouterr().out == "0 items are left out for good\n"
    for extra in ([], ["a.mp4", "--all"]):
        complaint = bad(capsys, "quarantine", "retry", finished[0], *extra)
        assert "wanted names or --all: see `equivdm quarantine list`" in complaint
    assert "which names none of the 0 items" in bad(capsys, "quarantine", "retry", finished[0], "a.mp4", *finished[1:])


def test_garbage_is_listed_by_a_dry_run_and_then_deleted(
    capsys: pytest.CaptureFixture[str], finished: list[str]
) -> None:
    orphan = Path(finished[2].partition("=")[2], "latents", "a-0.parquet")
    orphan.parent.mkdir(exist_ok=True)
    orphan.write_bytes(b"lost")
    os.utime(orphan, (0, 0))
    assert cli.main(["gc", *finished, "--dry-run"]) == 0
    assert "1 orphans of 4 B found" in capsys.readouterr().out
    assert orphan.exists()
    assert cli.main(["gc", *finished, "--older-than", "2d", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["files"] == [{"path": "latents/a-0.parquet", "bytes": 4}]
    assert not orphan.exists()
    assert "got '2', wanted a number of s, m, h or d such as 24h" in bad(capsys, "gc", *finished, "--older-than", "2")


def raising(error: BaseException) -> object:
    """Something to stand where a spec is loaded."""

    def load(*_: object) -> None:
        raise error

    return load


def test_debug_shows_the_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "load_spec", raising(UsageError("no")))
    for argv in (["--debug", "train", "x"], ["train", "x", "--debug"]):
        with pytest.raises(UsageError):
            cli.main(argv)


def test_an_interrupted_job_says_how_to_go_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "load_spec", raising(KeyboardInterrupt()))
    assert cli.main(["train", "x"]) == 130
    assert capsys.readouterr().err == (
        "equivdm: interrupted: what was committed is kept; run the same command to continue\n"
    )


def test_a_job_that_fails_for_a_known_reason_ends_with_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "load_spec", raising(EquivdmError("workers died three times")))
    assert cli.main(["train", "x"]) == 1
    assert capsys.readouterr().err == "equivdm: workers died three times\n"


def test_what_nobody_expected_is_one_line_too() -> None:
    program = (
        "import sys; from jobs import cli\n"
        "def load(*_): raise RuntimeError('first\\nsecond')\n"
        "cli.load_spec = load; sys.exit(cli.main(['train', 'x']))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "equivdm: RuntimeError: second (run again with --debug for the traceback)\n"
