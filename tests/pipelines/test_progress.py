"""Progress where nobody watches: few lines, first and last among them."""

import pytest

from pipelines.progress import progress


def test_a_short_step_says_when_it_starts_and_when_it_ends(capsys: pytest.CaptureFixture[str]) -> None:
    with progress("train", 3) as advance:
        for step in range(3):
            advance(loss=0.5 / (step + 1), filtered=step)
    out, err = capsys.readouterr()
    assert out == ""
    first, last = err.splitlines()
    assert first == "train: 0 of 3"
    assert last.startswith("train: 3 of 3 in ")
    assert last.endswith("  loss=0.167 filtered=2")


def test_an_unknown_total_is_counted(capsys: pytest.CaptureFixture[str]) -> None:
    with progress("list", None) as advance:
        advance(5)
        advance(2)
    assert capsys.readouterr().err.splitlines()[1].startswith("list: 7 in ")


def test_lines_come_every_few_seconds(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    with progress("train", 100) as advance:
        for _ in range(100):
            now[0] += 0.5
            advance()
    lines = capsys.readouterr().err.splitlines()
    assert lines[1] == "train: 10 of 100, about 45 s left"
    assert len(lines) == 2 + 9


def test_an_error_passes_and_leaves_no_line_that_claims_an_end(capsys: pytest.CaptureFixture[str]) -> None:
    def lose() -> None:
        with progress("train", 3):
            raise KeyError("lost")

    with pytest.raises(KeyError):
        lose()
    assert capsys.readouterr().err == "train: 0 of 3\n"
