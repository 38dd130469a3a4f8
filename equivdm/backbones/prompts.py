"""What text encoders have in common. No torch, unless one is built."""

import html
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def clean(prompt: str) -> str:
    """Return a prompt without HTML entities and with single blanks, as Wan's pipelines and OpenCLIP do with `ftfy`.

    That mends broken encodings and makes typographic quotes plain.
    """
    import ftfy

    # Twice: captions from the web have entities of entities.
    return re.sub(r"\s+", " ", html.unescape(html.unescape(ftfy.fix_text(prompt)))).strip()


def fastest() -> "tuple[str, torch.dtype]":
    """Return device and precision to encode in: the GPU and bfloat16 where the process has one, else float32."""
    import torch

    return ("cuda", torch.bfloat16) if torch.cuda.is_available() else ("cpu", torch.float32)
