"""Colours of decoded videos, against patches whose components are computed here."""

from pathlib import Path

import numpy as np
import pytest

from equivdm.video.decode import decode
from tests.equivdm.video.charts import RGB, patches, write_chart


def error(path: Path) -> int:
    """Largest difference from the patches, in levels."""
    return int(np.abs(patches(decode(str(path), [0], None)[0]) - RGB).max())


@pytest.mark.parametrize("form", ["yuv444p", "yuv420p", "yuv420p10le", "yuv444p10le"])
@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("matrix", [1, 5, 6, 9])
def test_tags_are_obeyed(tmp_path: Path, matrix: int, full: bool, form: str) -> None:
    write_chart(tmp_path / "chart.mp4", matrix, full=full, form=form)
    assert error(tmp_path / "chart.mp4") <= (1 if form.endswith("10le") else 2)


@pytest.mark.parametrize("form", ["yuv420p", "yuv420p10le"])
@pytest.mark.parametrize(("rows", "matrix"), [(718, 5), (720, 1)])
def test_without_tags_the_size_decides(tmp_path: Path, rows: int, matrix: int, form: str) -> None:
    """As players do: FFmpeg alone takes BT.601, and is up to 23 levels off."""
    for written in (1, 5):
        write_chart(tmp_path / f"{written}.mp4", written, full=False, form=form, rows=rows, tagged=False)
    assert error(tmp_path / f"{matrix}.mp4") <= 2
    assert error(tmp_path / f"{6 - matrix}.mp4") >= 20


def test_a_tag_counts_more_than_the_size(tmp_path: Path) -> None:
    write_chart(tmp_path / "chart.mp4", 5, full=False, form="yuv420p", rows=720)
    assert error(tmp_path / "chart.mp4") <= 2
