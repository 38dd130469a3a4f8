"""Take models out of a store, to come along: `python -m pipelines.shipped.pack STORE`."""

import shutil
import sys
from pathlib import Path

from safetensors.torch import load_file, save_file

from pipelines.models import FILES, WEIGHTS, model_folder, named_by, newest_model, sum_up
from pipelines.settings import StoreConfig
from pipelines.shipped import ROW, as_text
from pipelines.store import Store, open_store

NAMES = {"equivdm": "tiny-equivdm", "independent": "tiny-independent", "student": "tiny-student"}
"""Names in the store, and those under which they come along."""


def pack(store: Store, home: Path) -> None:
    """Write the newest model of each of these names to a folder of its own, its weights as float16.

    They are read as float32 again, half of the bytes away: rounding changes a weight by a two-thousandth at most.
    """
    rows = {row["key"]: row for row in store.table("models").rows()}
    for name, shown in NAMES.items():
        row, folder = rows[newest_model(store, name).key], home / shown
        shutil.rmtree(folder, ignore_errors=True)
        with store.local_folder(model_folder(row["key"])) as files:
            shutil.copytree(files, folder, ignore=shutil.ignore_patterns(FILES, "validation"))
        halved = {name: weight.half() for name, weight in load_file(folder / WEIGHTS).items()}
        save_file(halved, folder / WEIGHTS)
        weights = named_by(sum_up(folder))
        (folder / ROW).write_text(as_text({**row, "name": shown, "weights": weights}))


if __name__ == "__main__":
    pack(open_store(StoreConfig(root=sys.argv[1])), Path(__file__).parent)
