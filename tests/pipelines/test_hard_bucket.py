"""The whole collection of hard files as one source: every file ends in the right place, and holds up no other."""

from collections import defaultdict
from pathlib import Path

import pytest

from equivdm.config import ClipConfig
from pipelines import preprocess
from pipelines.audit import audit
from pipelines.settings import SourceConfig
from pipelines.store import open_store
from tests.equivdm.video.hard_files import EXPECTED, Decodes, Ends
from tests.pipelines.videos import preprocess_job

pytestmark = [pytest.mark.slow, pytest.mark.ray, pytest.mark.usefixtures("local_ray")]

FRAMES = 16

FILTERED = {
    ("real/video_with_failing_audio.mp4", 8): "static",  # the camera stands still there
    ("synth/black.mp4", 0): "black",
    ("synth/black.mp4", 1): "black",
    ("synth/frozen_middle.mp4", 1): "static",
    ("synth/static.mp4", 0): "static",
    ("synth/static.mp4", 1): "static",
}
"""Windows that a rule leaves out."""

EMPTY = {"real/zero_byte.webm", "synth/zero_byte.mp4"}
"""The same bytes, and so one item."""

SCENES = {"synth/hard_cut_at_24.mp4": [(0, 24), (24, 48)], "synth/cross_fade_16_32.mp4": [(0, 16), (32, 48)]}
"""First frame, and first after it, of what is one scene and no other."""


@pytest.fixture(scope="module")
def rows(assets: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict]]:
    """The rows of `clips` by path, after one run over every file, whatever it is called."""
    root, place = assets / "hard", tmp_path_factory.mktemp("hard")
    (place / "all.csv").write_text("\n".join(["path", *EXPECTED]))
    job = preprocess_job(
        root,
        place / "store",
        source=SourceConfig(root=str(root), manifest=str(place / "all.csv")),
        clip=ClipConfig(frames=FRAMES, height=32, width=32, max_windows=3),
    )
    summary = preprocess.run(job)
    assert summary.counts["pending"] == 0
    assert audit(job).problems == []
    found = defaultdict(list)
    for row in open_store(job.store).table("clips").rows():
        found[row["path"]].append(row)
    assert set(EXPECTED) - set(found) < EMPTY
    assert len(found) == len(EXPECTED) - 1
    return found


def test_what_decodes_is_done_or_left_out_by_its_rule(rows: dict[str, list[dict]]) -> None:
    for path, end in EXPECTED.items():
        if not isinstance(end, Decodes):
            continue
        if end.frames < FRAMES:
            assert [(row["outcome"], row["rule"]) for row in rows[path]] == [("filtered", "too_short")], path
            continue
        ended = {(path, row["window"]): row["rule"] or row["outcome"] for row in rows[path]}
        assert ended == {window: FILTERED.get(window, "done") for window in ended}, path
        assert {row["source_frames"] for row in rows[path]} == {end.frames}


def test_what_does_not_decode_is_quarantined_with_its_cause(rows: dict[str, list[dict]]) -> None:
    for path, end in EXPECTED.items():
        if isinstance(end, Ends) and path in rows:
            assert {(row["outcome"], row["error"]) for row in rows[path]} == {("quarantined", end.error.__name__)}, path


@pytest.mark.parametrize("path", SCENES)
def test_no_window_shows_two_scenes(path: str, rows: dict[str, list[dict]]) -> None:
    windows = [(row["indices"][0], row["indices"][-1] + 1) for row in rows[path]]
    assert windows
    for first, after in windows:  # a fade is found to a frame
        assert any(start - 1 <= first and after <= stop + 1 for start, stop in SCENES[path]), windows
