"""Results as text: on the terminal and in a file, line by line."""

import argparse
from collections.abc import Callable
from pathlib import Path

Write = Callable[[str], None]
"""Takes a line."""


def write_results(about: str, name: str, figures: Callable[[Write], None]) -> None:
    """Write the file `name` in the folder of `--out`, and print it: what stands before a failure is kept."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--out", type=Path, required=True, help="folder of the results")
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    with (out / name).open("w") as file:

        def write(line: str) -> None:
            print(line, flush=True)
            file.write(line + "\n")
            file.flush()

        figures(write)
