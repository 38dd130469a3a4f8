"""What text encoders do to prompts before they are cut into tokens."""

import html
import re


def clean(prompt: str) -> str:
    """Return a prompt without HTML entities and with single blanks, as Wan's pipelines and OpenCLIP do with `ftfy`.

    That mends broken encodings and makes typographic quotes plain.
    """
    import ftfy

    # Twice: captions from the web have entities of entities.
    return re.sub(r"\s+", " ", html.unescape(html.unescape(ftfy.fix_text(prompt)))).strip()
