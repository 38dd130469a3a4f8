"""The command `equivdm`. Reading a command line and checking a spec load neither torch nor Ray.

Exit codes: 0 all well, 1 some items failed or a check found something, 2 the request cannot work as given,
130 interrupted.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import NoReturn, cast

from equivdm.errors import EquivdmError, UsageError
from jobs.specs import JOBS, load_spec
from pipelines.config import AnyJob, EvaluateJob

JOB_HELP = {
    "preprocess": "videos to clips: flow, occlusion, motion plan, latents, condition",
    "train": "clips to a model, with the ordinary denoising loss on warped noise",
    "distill": "a model to a one-step student",
    "render": "clips and a model to videos",
    "evaluate": "videos to metrics with confidence intervals",
}


class Parser(argparse.ArgumentParser):
    """Argparse that leaves the last word on errors to `main`."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}: see `{self.prog} --help`")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; `argv` comes without the program's name."""
    arguments = None
    try:
        arguments = parser().parse_args(argv)
        if not arguments.debug:
            sys.excepthook = _one_line
        return arguments.call(arguments)
    except EquivdmError as error:
        if arguments and arguments.debug:
            raise
        return _complain(str(error), 2 if isinstance(error, UsageError) else 1)
    except KeyboardInterrupt:
        return _complain("interrupted: what was committed is kept; run the same command to continue", 130)


def _complain(text: str, code: int) -> int:
    sys.stderr.writelines(f"equivdm: {line}\n" for line in text.splitlines())
    return code


def _one_line(kind: type[BaseException], error: BaseException, _: TracebackType | None) -> None:
    """What an error that nobody expected looks like without --debug; Python then exits with 1."""
    last = (str(error).strip().splitlines() or ["no message"])[-1]
    _complain(f"{kind.__name__}: {last} (run again with --debug for the traceback)", 1)


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    top = Parser(prog="equivdm", description="Motion-locked video-to-video diffusion at dataset scale, on Ray.")
    top.add_argument("--version", action="version", version=f"equivdm {version('equivdm')}")
    top.add_argument("--debug", action="store_true", help="show tracebacks")
    top.set_defaults(call=lambda _: top.print_help() or 2)
    verbs = top.add_subparsers(metavar="VERB", title="verbs")

    def verb(name: str, about: str, call: Callable[[argparse.Namespace], int]) -> argparse.ArgumentParser:
        below = verbs.add_parser(name, help=about, description=f"{about[0].upper()}{about[1:]}.")
        below.add_argument("--debug", action="store_true", default=argparse.SUPPRESS, help="show tracebacks")
        below.set_defaults(call=call, verb=name)
        return below

    _doctor_options(verb("doctor", "say what this machine has, what is missing, and the cure", _doctor))
    _demo_options(verb("demo", "run all five jobs at tiny size and write a report", _demo))
    for name in JOBS:
        _spec_options(verb(name, JOB_HELP[name], _job))
    _spec_options(verb("audit", "add a run up: every input has an outcome, every object is whole", _audit))
    _report_options(verb("report", "write the HTML report of an evaluate spec's videos", _report))
    _warp_options(verb("warp", "write the warped noise of one video for any other tool", _warp))
    return top


def _spec_options(verb: argparse.ArgumentParser) -> None:
    name = verb.prog.rpartition(" ")[2]
    about = f"path of a YAML file, or a name of those that come along (tiny_{name if name in JOBS else 'evaluate'})"
    verb.add_argument("spec", metavar="SPEC", help=about)
    about = "a field and its value, on top of the spec; may be given often"
    verb.add_argument("--set", dest="settings", action="append", default=[], metavar="A.B=C", help=about)


def _report_options(verb: argparse.ArgumentParser) -> None:
    _spec_options(verb)
    verb.add_argument(
        "-o", "--out", type=Path, metavar="FOLDER", help="where to write (default: `report` beside the store)"
    )


def _doctor_options(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--store", metavar="ROOT", help="also try this store: a folder or s3://bucket/prefix")


def _demo_options(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--videos",
        metavar="FOLDER",
        help="your own: a folder or s3://bucket/prefix (default: rendered clips)",
    )
    verb.add_argument("--out", type=Path, metavar="FOLDER", help="where everything goes (default: out/demo)")
    verb.add_argument(
        "--limit", type=int, default=16, metavar="N", help="take at most so many of your videos (default: 16)"
    )


def _warp_options(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("video", metavar="VIDEO", help="a video file")
    verb.add_argument("-o", "--out", type=Path, required=True, metavar="FILE", help="noise.npy or noise.safetensors")
    grid = verb.add_mutually_exclusive_group()
    grid.add_argument("--grid", type=_size, metavar="HxW", help="cells of the noise, for example 60x104")
    grid.add_argument(
        "--stride", type=_positive, default=8, metavar="N", help="or pixels along a cell's side (default: 8)"
    )
    verb.add_argument(
        "--size", type=_size, metavar="HxW", help="resize and crop the video first (default: its own size)"
    )
    verb.add_argument("--channels", type=_positive, default=16, metavar="C", help="channels of the noise (default: 16)")
    verb.add_argument("--seed", type=int, default=0, metavar="S", help="which draw (default: 0)")
    verb.add_argument(
        "--beta", type=float, default=1.0, metavar="B", help="share of warped noise in the mix (default: 1)"
    )
    verb.add_argument("--frames", type=_positive, metavar="N", help="only the first N frames of the video")
    verb.add_argument(
        "--time-stride", type=_positive, default=1, metavar="N", help="noise for every Nth frame (default: 1)"
    )
    verb.add_argument(
        "--dtype", choices=("float16", "float32"), default="float16", help="of the numbers (default: float16)"
    )
    preview = verb.add_mutually_exclusive_group()
    preview.add_argument(
        "--preview", type=Path, metavar="MP4", help="where the preview goes (default: beside the noise)"
    )
    preview.add_argument("--no-preview", action="store_true", help="write none")


def _size(text: str) -> tuple[int, int]:
    height, cross, width = text.lower().partition("x")
    if not (cross and height.isdecimal() and width.isdecimal() and int(height) and int(width)):
        raise argparse.ArgumentTypeError(f"got {text!r}, wanted height x width such as 60x104")
    return int(height), int(width)


def _positive(text: str) -> int:
    if not (text.isdecimal() and int(text)):
        raise argparse.ArgumentTypeError(f"got {text!r}, wanted a whole number from 1")
    return int(text)


# What a verb needs is imported when that verb runs: it brings torch and Ray along.


def _job(arguments: argparse.Namespace) -> int:
    job = load_spec(arguments.spec, arguments.settings, arguments.verb)
    from jobs.show import show_summary

    return show_summary(import_module(f"pipelines.{arguments.verb}").run(job))


def _audit(arguments: argparse.Namespace) -> int:
    job = load_spec(arguments.spec, arguments.settings)
    from jobs.show import show_summary
    from pipelines.audit import audit

    return show_summary(audit(cast(AnyJob, job)))


def _report(arguments: argparse.Namespace) -> int:
    job = load_spec(arguments.spec, arguments.settings, "evaluate")
    from jobs.show import default_report_folder, say
    from pipelines.report import build_report

    page = build_report(cast(EvaluateJob, job), arguments.out or default_report_folder(job))
    say(f"report: {page}")
    return 0


def _doctor(arguments: argparse.Namespace) -> int:
    from jobs import doctor

    return doctor.run(arguments.store)


def _demo(arguments: argparse.Namespace) -> int:
    from jobs import demo

    return demo.run(arguments.videos, arguments.out, arguments.limit)


def _warp(arguments: argparse.Namespace) -> int:
    from jobs import warp

    return warp.run(warp.WarpOptions.of(arguments))


if __name__ == "__main__":
    sys.exit(main())
