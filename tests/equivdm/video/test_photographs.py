"""Photographs as textures of scenes."""

from pathlib import Path

import numpy as np
import pytest

from equivdm.errors import UsageError
from equivdm.flow import warp_back
from equivdm.video import photographs
from equivdm.video.photographs import (
    FOLDER,
    PHOTOGRAPHS,
    Photographic,
    check_photographs,
    load_photographs,
    write_photographs,
)
from equivdm.video.synthetic import render_scene


def test_a_scene_of_photographs_moves_by_its_flow_and_names_what_it_shows() -> None:
    texture = Photographic(load_photographs())
    scene, again = (render_scene(1, frames=3, height=64, width=64, texture=texture) for _ in range(2))
    assert scene.frames.tobytes() == again.frames.tobytes()
    seen = ~scene.occluded_backward[0]
    moved, still = (
        float(np.median(np.abs(scene.frames[1] - frame)[seen]))
        for frame in (warp_back(scene.frames[0], scene.backward[0]), scene.frames[0].astype(np.float32))
    )
    assert moved < still / 3  # the median: pixels on a layer's edge mix two motions
    assert any(name in scene.caption for name in load_photographs())


def test_an_absent_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    load_photographs.cache_clear()
    monkeypatch.setattr(photographs, "find_spec", lambda name: None if name == "sklearn" else True)
    with pytest.raises(UsageError, match=r"sklearn.*pip install 'equivdm\[photographs\]'"):
        load_photographs()


def test_a_folder_does_where_packages_are_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_photographs()
    write_photographs(tmp_path)
    load_photographs.cache_clear()
    installed = load_photographs()
    load_photographs.cache_clear()
    monkeypatch.setattr(photographs, "find_spec", lambda name: None)
    monkeypatch.setenv(FOLDER, str(tmp_path))
    check_photographs()
    assert all(np.array_equal(picture, installed[name]) for name, picture in load_photographs().items())
    one, other = (tmp_path / PHOTOGRAPHS[name][1] for name in ("brick", "coins"))
    other.write_bytes(one.read_bytes())
    with pytest.raises(UsageError, match=r"photographs: got files of sha256 .*, wanted ab67d5916c92"):
        check_photographs()
    load_photographs.cache_clear()
