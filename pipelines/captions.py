"""Captions as a backbone takes them. Its text encoder is loaded once in a process, and the latest captions stay."""

from collections.abc import Callable
from functools import cache, lru_cache
from typing import Any, NamedTuple, cast

import numpy as np

from equivdm.backbones import backbone_of
from equivdm.backbones.backbone import TextEncoder
from equivdm.config import BackboneConfig


class Caption(NamedTuple):
    """A caption, and the empty one, up to their ends: int64 [words] or float16 [words, features]."""

    text: np.ndarray
    empty: np.ndarray


_encoder: Callable[[BackboneConfig], TextEncoder] = cast(Any, cache(lambda config: backbone_of(config).build_text()))
_empty: Callable[[BackboneConfig], np.ndarray] = cast(Any, cache(lambda backbone: _encoder(backbone)([""])[0]))


def _encoded(backbone: BackboneConfig, caption: str | None) -> Caption:
    empty = _empty(backbone)
    (text,) = _encoder(backbone)([caption]) if caption else (empty,)
    return Caption(text, empty)


encode_caption: Callable[[BackboneConfig, str | None], Caption] = cast(Any, lru_cache(maxsize=256)(_encoded))
"""Return a caption's row; none is the empty one."""
