"""The experiments on the paper's claims in one process: for a GPU machine that has torch, and no Ray or Delta Lake.

`python -m benchmarks.reproduce --size gpu --out RESULTS --seconds 540` makes models and measures, one after another, as
`equivdm reproduce` does: the same items under the same keys. Each is a file in RESULTS as soon as it is done. It stops
before the seconds are over; the same command goes on. What is known so far is written to RESULTS/reproduce_SIZE.md.

`--prepare` writes the photographs that clips are made of to RESULTS/photographs (4 MB), on a machine that has the
packages (scikit-image, scikit-learn): the folder is all that need be carried over.
"""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from benchmarks.shelf import Shelf
from benchmarks.turns import items_of, work
from equivdm.errors import EquivdmError
from equivdm.findings.page import render
from equivdm.video.photographs import FOLDER, check_photographs, write_photographs
from jobs.paper import Size, paper_studies
from pipelines.reproducing.summary import about, result_of


def main() -> None:
    """Do what the command line asks for."""
    given = parse()
    every, asked = (
        paper_studies(names, given.size, given.seeds, given.autoencoder) for names in ((), given.experiments)
    )
    shelf, items = Shelf(given.out), items_of(asked)
    if given.prepare:
        write_photographs(shelf.photographs)
        return
    os.environ.setdefault(FOLDER, str(shelf.photographs))
    check_photographs()
    left = work(items, shelf, given.seconds)
    command = command_of(given)
    ended = shelf.ended(item.key for item in items_of(every))
    results = [result_of(study, ended, f"{command} {study.experiment}") for study in every]
    page = given.out / f"reproduce_{given.size}.md"
    page.write_text(render(results, about(ended, command, given.size == "tiny")), encoding="utf-8")
    print(f"{len(items) - left} of {len(items)} done, {page}" + ("; the same command goes on" if left else ""))


def command_of(given: argparse.Namespace) -> str:
    """Return the command line without experiments and limit: what makes the whole page."""
    options = [("--size", given.size), ("--seeds", given.seeds), ("--autoencoder", given.autoencoder)]
    told = [f"{name} {value}" for name, value in [*options, ("--out", given.out)] if value is not None]
    return " ".join(["python -m benchmarks.reproduce", *told])


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the options of a command line, of this process by default."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiments", nargs="*", metavar="EXPERIMENT", help="default: all")
    parser.add_argument("--size", choices=get_args(Size), default="gpu")
    parser.add_argument("--seeds", type=int, metavar="N", help="trainings of each; default: that of its spec")
    parser.add_argument("--autoencoder", metavar="FILE", help="TAEF2's encoder, taef2_encoder.pth")
    parser.add_argument("--out", type=Path, required=True, help="folder of all that is made")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop before; default: never")
    parser.add_argument("--prepare", action="store_true", help="write the photographs, and stop")
    return parser.parse_args(argv)


if __name__ == "__main__":
    try:
        main()
    except EquivdmError as error:
        raise SystemExit(f"benchmarks.reproduce: {error}") from error
