"""The model's frames and the source's: shapes, borders, sizes, and the way back."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from equivdm.errors import UnsupportedVideo, UsageError
from equivdm.render_config import FrameConfig
from equivdm.video.frame import Fit, fit

SIDES = st.integers(1, 600)
RULES = st.sampled_from(["crop", "pad", "stretch"])
OUTPUTS = st.sampled_from(["model", "source"])


def smooth(height: int, width: int) -> np.ndarray:
    """A picture of one slow wave, so that interpolation says little."""
    rows, columns = np.linspace(0, 1, height)[:, None], np.linspace(0, 1, width)[None]
    waves = [np.sin(2 * rows + columns), np.cos(rows - 2 * columns), np.sin(3 * columns + 0 * rows)]
    return np.round(127.5 + 100 * np.stack(waves, axis=-1)).astype(np.uint8)


def scales(found: Fit) -> tuple[float, float]:
    """Pixels of the model's frame per displayed pixel, down and across."""
    return found.inner.rows / found.part.rows, found.inner.columns / found.part.columns


@settings(max_examples=80)
@given(
    display=st.tuples(SIDES, SIDES), rule=RULES, output=OUTPUTS, multiple=st.sampled_from([2, 8, 16]), data=st.data()
)
def test_laws(display: tuple[int, int], rule: str, output: str, multiple: int, data: st.DataObject) -> None:
    side = st.none() | st.integers(1, 12).map(lambda count: count * multiple)
    config = FrameConfig(height=data.draw(side), width=data.draw(side), rule=rule, output=output)  # pyright: ignore
    try:
        found = fit(display, config, multiple)
    except UnsupportedVideo:
        shapes = (display[1] / display[0], (config.width or display[1]) / (config.height or display[0]))
        apart = max(shapes) / min(shapes)
        # Only where the shapes of source and model are far apart, for the source's few pixels or altogether, or the
        # other side follows to no sane length.
        assert apart > min(multiple, *display) or max(*shapes, *(1 / shape for shape in shapes)) > 80
        return
    assert found.size[0] % multiple == found.size[1] % multiple == 0
    assert config.height in (None, found.size[0])
    assert config.width in (None, found.size[1])
    whole_part, whole_inner = (0, 0, *display), (0, 0, *found.size)
    assert rule == "crop" or tuple(found.part) == whole_part
    assert rule == "pad" or tuple(found.inner) == whole_inner
    for outer, box in ((display, found.part), (found.size, found.inner)):
        for length, start, extent in zip(outer, box[:2], box[2:], strict=True):
            assert extent >= 1
            assert start == (length - extent) // 2
            assert start + extent <= length
    if rule != "stretch":
        down, across = scales(found)
        # Each side is rounded to a pixel: of the displayed picture with crop, of the model's frame with pad.
        box = found.part if rule == "crop" else found.inner
        assert abs(np.log(down / across)) <= -np.log1p(-min(0.5, 0.51 / min(box[2:]))) + 1e-9
        # And nothing more is left out, or left empty, than the shape asks for.
        outer = display if rule == "crop" else found.size
        own = config.height is None and config.width is None
        assert own or outer[0] == box[2] or outer[1] == box[3]
    assert found.output == (found.size if output == "model" else tuple(found.part[2:]))


@pytest.mark.parametrize("rule", ["crop", "pad", "stretch"])
@pytest.mark.parametrize("display", [(120, 213), (213, 120), (97, 101), (64, 64)])
@pytest.mark.parametrize("size", [(None, None), (64, None), (96, 64)])
def test_the_way_back_gives_what_was_shown(
    rule: str, display: tuple[int, int], size: tuple[int | None, int | None]
) -> None:
    config = FrameConfig(height=size[0], width=size[1], rule=rule, output="source")  # pyright: ignore
    found, picture = fit(display, config, 16), smooth(*display)
    frame = found.apply(picture)
    assert frame.shape == (*found.size, 3)
    back = found.undo(np.stack([frame, frame]))
    shown = picture[found.part.part]
    assert back.shape == (2, *shown.shape)
    assert np.abs(back.astype(int) - shown).max() <= 3
    if size == (None, None) and rule != "stretch":
        np.testing.assert_array_equal(back[0], shown)


def test_the_border_repeats_the_outermost_pixels() -> None:
    picture = smooth(40, 60)
    frame = fit((40, 60), FrameConfig(rule="pad"), 16).apply(picture)
    np.testing.assert_array_equal(frame, np.pad(picture, ((4, 4), (2, 2), (0, 0)), mode="edge"))


def test_pixels_that_are_not_square() -> None:
    """320 x 240 of 4:3 is shown 427 wide: a square takes 180 of its columns; padded, it fills 36 rows of 64."""
    picture = smooth(240, 320)
    square = fit((240, 427), FrameConfig(height=64, width=64), 16).apply(picture)
    np.testing.assert_array_equal(square, cv2.resize(picture[:, 70:250], (64, 64), interpolation=cv2.INTER_AREA))
    padded = fit((240, 427), FrameConfig(height=64, width=64, rule="pad"), 16)
    assert padded.inner == (14, 0, 36, 64)
    want = cv2.resize(picture, (64, 36), interpolation=cv2.INTER_AREA)
    np.testing.assert_array_equal(padded.apply(picture)[14:50], want)


@pytest.mark.parametrize(
    ("display", "rule", "want"),
    [
        ((1080, 1920), "crop", (1072, 1920)),
        ((1080, 1920), "pad", (1088, 1920)),
        ((1080, 1924), "stretch", (1088, 1920)),
        ((1, 1), "crop", (16, 16)),
        ((1, 1), "pad", (16, 16)),
        ((9, 40), "crop", (16, 32)),
    ],
)
def test_the_own_size_is_rounded_by_the_rule(display: tuple[int, int], rule: str, want: tuple[int, int]) -> None:
    found = fit(display, FrameConfig(rule=rule), 16)  # pyright: ignore
    assert found.size == want
    assert found.apply(np.zeros((*display, 3), np.uint8)).shape == (*want, 3)


def test_of_one_given_side_the_other_follows() -> None:
    assert fit((1080, 1920), FrameConfig(height=720), 16).size == (720, 1280)
    assert fit((1080, 1920), FrameConfig(width=640), 8).size == (360, 640)
    assert fit((1080, 1920), FrameConfig(width=480, rule="pad"), 16).size == (272, 480)


@pytest.mark.parametrize(
    ("display", "config", "said"),
    [
        ((1, 10_000), FrameConfig(height=64, width=64, rule="pad"), "64x64 pixels cannot hold the shape 10000x1"),
        ((1, 1), FrameConfig(height=16, width=4096), "1x1 pixels cannot hold the shape 4096x16"),
        ((1, 10_000), FrameConfig(height=64), "would be 640000x64 to the model, wanted at most 16384"),
    ],
)
def test_what_could_not_be_seen_is_refused(display: tuple[int, int], config: FrameConfig, said: str) -> None:
    with pytest.raises(UnsupportedVideo, match=said):
        fit(display, config, 16)


def test_sizes_that_the_model_cannot_have_are_refused() -> None:
    with pytest.raises(UsageError, match=r"^width: got 500, wanted a multiple of 16 for this model: take 496 or 512$"):
        fit((100, 100), FrameConfig(height=64, width=500), 16)
    with pytest.raises(UsageError, match="take 16"):
        FrameConfig(height=5).check_multiple(16)
    with pytest.raises(ValueError, match="at least 1"):
        fit((0, 100), FrameConfig(), 16)
