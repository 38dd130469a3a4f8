"""The experiments on the paper's claims in one process: for a GPU machine that has torch, and no Ray or Delta Lake.

`python -m benchmarks.reproduce --size gpu --out RESULTS --seconds 540` makes models and measures, one after another, as
`equivdm reproduce` does: the same items under the same keys. Each is a file in RESULTS as soon as it is done. It stops
before the seconds are over; the same command goes on. What is known so far is written to RESULTS/reproduce_SIZE.md.

`--prepare` draws all clips into RESULTS/clips beforehand, on a machine that has the photographs (scikit-image,
scikit-learn): the folder is all that need be carried over.
"""

import argparse
from pathlib import Path
from typing import get_args

from benchmarks.shelf import Shelf
from benchmarks.turns import items_of, prepare, work
from equivdm.errors import EquivdmError
from equivdm.findings.page import render
from jobs.paper import Size, paper_studies
from pipelines.reproducing.summary import about, result_of


def main() -> None:
    """Do what the command line asks for."""
    given = _arguments()
    studies = paper_studies(given.experiments, given.size, given.seeds, given.autoencoder)
    shelf, items = Shelf(given.out), items_of(studies)
    if given.prepare:
        prepare(items, shelf)
        return
    left = work(items, shelf, given.seconds)
    command = f"python -m benchmarks.reproduce --size {given.size}"
    ended = shelf.ended(item.key for item in items)
    results = [result_of(study, ended, f"{command} {study.experiment}") for study in studies]
    page = given.out / f"reproduce_{given.size}.md"
    page.write_text(render(results, about(ended, command)), encoding="utf-8")
    print(f"{len(items) - left} of {len(items)} done, {page}" + ("; the same command goes on" if left else ""))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiments", nargs="*", metavar="EXPERIMENT", help="default: all")
    parser.add_argument("--size", choices=get_args(Size), default="gpu")
    parser.add_argument("--seeds", type=int, metavar="N", help="trainings of each; default: that of its spec")
    parser.add_argument("--autoencoder", metavar="FILE", help="TAEF2's encoder, taef2_encoder.pth")
    parser.add_argument("--out", type=Path, required=True, help="folder of all that is made")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop before; default: never")
    parser.add_argument("--prepare", action="store_true", help="draw the clips, and stop")
    return parser.parse_args()


if __name__ == "__main__":
    try:
        main()
    except EquivdmError as error:
        raise SystemExit(f"benchmarks.reproduce: {error}") from error
