"""What each verb takes on the command line. Neither torch nor Ray is loaded here."""

import argparse
import re
from collections.abc import Sequence
from pathlib import Path

from pipelines.devices import DEVICES


def spec_options(verb: argparse.ArgumentParser, example: str = "tiny_preprocess") -> None:
    """A job's spec, and changes of its fields."""
    about = f"path of a YAML file, or a name of those that come along ({example})"
    verb.add_argument("spec", metavar="SPEC", help=about)
    about = "a field and its value, on top of the spec; may be given often"
    verb.add_argument("--set", dest="settings", action="append", default=[], metavar="A.B=C", help=about)


def submit_options(verb: argparse.ArgumentParser, jobs: Sequence[str]) -> None:
    """Of `submit`."""
    verb.add_argument("job", metavar="JOB", choices=jobs, help=f"kind of job: {', '.join(jobs)}")
    spec_options(verb)
    server_options(verb)
    about = "a container image that has the code (default: the code of this machine is uploaded)"
    verb.add_argument("--image", metavar="IMAGE", help=about)
    about = "a variable of the job's environment, such as AWS_PROFILE=render; no secrets; may be given often"
    verb.add_argument("--env", dest="variables", action="append", default=[], metavar="NAME=VALUE", help=about)
    verb.add_argument("--dry-run", action="store_true", help="check and print what would be submitted, and no more")
    verb.add_argument("--detach", action="store_true", help="do not follow the log")


def server_options(verb: argparse.ArgumentParser) -> None:
    """Where the job server of a cluster is."""
    about = "job server of the cluster, such as http://HEAD:8265 (default: RAY_API_SERVER_ADDRESS)"
    verb.add_argument("--address", metavar="URL", help=about)


def job_options(verb: argparse.ArgumentParser) -> None:
    """A submitted job."""
    verb.add_argument("id", metavar="ID", help="as `equivdm jobs` shows it")
    server_options(verb)


def schedule_options(verb: argparse.ArgumentParser, targets: Sequence[str]) -> None:
    """Of `schedule`."""
    spec_options(verb)
    about = "kubernetes (a CronJob that submits), cron (a line of a crontab), slurm (an entry of scrontab)"
    verb.add_argument("--target", choices=targets, default=targets[0], help=f"{about}; default: {targets[0]}")
    server_options(verb)
    verb.add_argument("--image", metavar="IMAGE", help="container that submits, for kubernetes")
    about = "a variable of the job's environment, as for submit"
    verb.add_argument("--env", dest="variables", action="append", default=[], metavar="NAME=VALUE", help=about)
    verb.add_argument("--apply", action="store_true", help="put it in place with kubectl, crontab or scrontab")


def report_options(verb: argparse.ArgumentParser) -> None:
    """Of `report`."""
    spec_options(verb, "tiny_evaluate")
    about = "where to write: a folder or s3://bucket/prefix (default: the spec's, else reports/NAME in the store)"
    verb.add_argument("-o", "--out", metavar="PLACE", help=about)


def doctor_options(verb: argparse.ArgumentParser) -> None:
    """Of `doctor`."""
    verb.add_argument("--store", metavar="ROOT", help="also try this store: a folder or s3://bucket/prefix")


def demo_options(verb: argparse.ArgumentParser) -> None:
    """Of `demo`."""
    verb.add_argument(
        "--videos",
        metavar="FOLDER",
        help="your own: a folder or s3://bucket/prefix (default: rendered clips)",
    )
    verb.add_argument("--out", type=Path, metavar="FOLDER", help="where everything goes (default: out/demo)")
    verb.add_argument(
        "--limit", type=int, default=16, metavar="N", help="take at most so many of your videos (default: 16)"
    )


def reproduce_options(verb: argparse.ArgumentParser) -> None:
    """Of `reproduce`."""
    about = "experiments to run (default: all; see --list)"
    verb.add_argument("experiments", metavar="EXPERIMENT", nargs="*", help=about)
    verb.add_argument("--list", action="store_true", help="say what each experiment puts to the test, and run none")
    about = "how large they are; tiny shows that everything runs, and nothing else (default: cpu)"
    verb.add_argument("--size", choices=("tiny", "cpu", "gpu"), default="cpu", help=about)
    verb.add_argument("--seeds", type=_positive, metavar="N", help="trainings of each (default: that of its spec)")
    about = "TAEF2's encoder, taef2_encoder.pth; tracked_points leaves its latents out without"
    verb.add_argument("--autoencoder", metavar="FILE", help=about)
    about = "where models, numbers and the page go (default: out/reproduce)"
    verb.add_argument("--out", type=Path, default=Path("out/reproduce"), metavar="FOLDER", help=about)
    about = "the page, with its pictures beside it in images/results (default: results.md in --out)"
    verb.add_argument("--page", type=Path, metavar="FILE", help=about)


def scenes_options(verb: argparse.ArgumentParser) -> None:
    """Of `scenes`."""
    verb.add_argument("folder", type=Path, metavar="FOLDER", help="where they go")
    verb.add_argument("--count", type=_positive, default=32, metavar="N", help="how many (default: 32)")
    verb.add_argument("--seed", type=int, default=0, metavar="S", help="other seeds, other scenes (default: 0)")
    verb.add_argument("--frames", type=_positive, default=32, metavar="N", help="of each (default: 32)")
    verb.add_argument("--size", type=_size, default=(64, 64), metavar="HxW", help="of a frame (default: 64x64)")
    verb.add_argument("--fps", type=float, default=12.0, metavar="F", help="frames a second (default: 12)")
    about = "share that is covered with photographs, by scikit-image and scikit-learn, not with patterns (default: 0)"
    verb.add_argument("--photographs", type=_fraction, default=0.0, metavar="P", help=about)
    verb.add_argument("--saturation", type=_fraction, default=1.0, metavar="S", help="of colours; 0: grey (default: 1)")
    verb.add_argument("--flow", action="store_true", help="write each one's exact flow beside it, for flow.kind=file")


def warp_options(verb: argparse.ArgumentParser) -> None:
    """Of `warp`."""
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


def look_options(verb: argparse.ArgumentParser) -> None:
    """Of the verbs that look at a job without running it."""
    spec_options(verb)
    verb.add_argument("--json", action="store_true", help="print JSON, for programs")


def plan_options(verb: argparse.ArgumentParser) -> None:
    """Of `plan`."""
    look_options(verb)
    verb.add_argument(
        "--clip",
        type=_clip,
        metavar="FxHxW",
        help="of train and distill: estimate for clips of this size, for example 81x480x832",
    )
    about = "of training on GPUs: the device to estimate for (default: h200)"
    verb.add_argument("--device", choices=tuple(DEVICES), default="h200", help=about)
    about = "share of the device's peak that is assumed (default: 0.4)"
    verb.add_argument("--mfu", type=_share, default=0.4, metavar="M", help=about)
    about = "of a batch job: how long it takes by the clock on so many CPUs, all machines together"
    verb.add_argument("--cpus", type=_positive, metavar="N", help=about)
    verb.add_argument("--gpus", type=_positive, metavar="N", default=0, help="likewise, GPUs beside --cpus")


def _clip(text: str) -> tuple[int, int, int]:
    frames, *sides = text.split("x")
    if len(sides) != 2 or not all(part.isdecimal() and int(part) for part in (frames, *sides)):
        raise argparse.ArgumentTypeError(f"got {text!r}, wanted frames x height x width such as 81x480x832")
    return int(frames), int(sides[0]), int(sides[1])


def _share(text: str) -> float:
    if not re.fullmatch(r"0?\.\d+|1(\.0*)?", text) or not float(text):
        raise argparse.ArgumentTypeError(f"got {text!r}, wanted a share above 0, of 1 at most, such as 0.4")
    return float(text)


def _fraction(text: str) -> float:
    if not re.fullmatch(r"0?\.\d+|[01](\.0*)?", text) or float(text) > 1:
        raise argparse.ArgumentTypeError(f"got {text!r}, wanted a number from 0 to 1, such as 0.4")
    return float(text)


def take_out_options(verb: argparse.ArgumentParser) -> None:
    """Of `quarantine retry` and `quarantine release`."""
    spec_options(verb)
    about = "right after SPEC: the beginning of a key or a path, or a class of errors, as `quarantine list` shows them"
    verb.add_argument("names", metavar="NAME", nargs="*", help=about)
    verb.add_argument("--all", action="store_true", help="all that are in quarantine, instead of names")


def gc_options(verb: argparse.ArgumentParser) -> None:
    """Of `gc`."""
    look_options(verb)
    about = "leave what was changed since (default: 24h); longer than any run goes without a commit"
    verb.add_argument("--older-than", type=_seconds, default="24h", metavar="TIME", help=about)
    verb.add_argument("--dry-run", action="store_true", help="list them, and delete nothing")


def _seconds(text: str) -> float:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", text)
    if not found:
        raise argparse.ArgumentTypeError(f"got {text!r}, wanted a number of s, m, h or d such as 24h")
    return float(found[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[found[2]]
