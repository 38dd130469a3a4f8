"""Make the weights that come with the tiny backbone: a plain video model, trained on independent noise.

    .venv/bin/python benchmarks/base_model.py [--out out/base]

Generates 128 scenes, preprocesses them, trains `jobs/specs/tiny_base.yaml`, and writes the averaged weights, in half
precision, into the package. It continues where it was stopped. The figures of the run that made the present file are in
docs/log.md.
"""

import argparse
from pathlib import Path

from safetensors.torch import load_file, save_file

from equivdm.backbones import pretrained_file
from equivdm.seeds import derive_seed
from jobs.demo import write_scenes
from jobs.specs import load_spec, variant
from pipelines import preprocess, train
from pipelines.config import PreprocessJob, TrainJob
from pipelines.models import WEIGHTS
from pipelines.store import open_store

SCENES = 128


def main() -> None:
    """Run the whole recipe."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("out", "base"))
    out = parser.parse_args().out
    write_scenes(out / "videos", {f"base_{number:03d}.mp4": derive_seed("base", number) for number in range(SCENES)})
    store = {"root": str(out / "store")}
    clips = variant(load_spec("tiny_preprocess"), store=store, source={"root": str(out / "videos")})
    job = variant(load_spec("tiny_base"), store=store)
    assert isinstance(clips, PreprocessJob)
    assert isinstance(job, TrainJob)
    preprocess.run(clips)
    model = train.run(job).model
    with open_store(job.store).local_copy(model.folder, WEIGHTS) as local:
        halves = {name: tensor.half() for name, tensor in load_file(local).items()}
    target = pretrained_file(job.backbone)
    target.parent.mkdir(exist_ok=True)
    save_file(halves, target)


if __name__ == "__main__":
    main()
