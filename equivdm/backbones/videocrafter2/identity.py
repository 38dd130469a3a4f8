"""What names the parts of a checkpoint. No torch: a job is planned without it."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from equivdm.config import VideoCrafter2Config
from equivdm.errors import UsageError
from equivdm.networks.weights import weights_digest

VOCABULARY = ("vocab.json", "merges.txt")
"""Files of a CLIP tokenizer that decide its tokens."""


def part_identity(config: VideoCrafter2Config, part: str) -> dict[str, Any]:
    """Return checkpoint and sizes of a part, "unet", "autoencoder" or "text".

    The file is named as a whole, by its bytes. Raises UsageError where it cannot be read.
    """
    return {"weights": weights_digest(config.weights), part: asdict(getattr(config, part))}


def tokenizer_identity(config: VideoCrafter2Config) -> dict[str, str]:
    """Return the digests of the tokenizer's files. Raises UsageError where one of them is missing."""
    folder = Path(config.tokenizer)
    missing = [name for name in VOCABULARY if not (folder / name).is_file()]
    if missing:
        raise UsageError(
            f"tokenizer: {config.tokenizer} lacks {', '.join(missing)}: give the folder of a CLIP tokenizer"
        )
    return {name: weights_digest(str(folder / name)) for name in VOCABULARY}
