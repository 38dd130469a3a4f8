"""The board between workers and driver."""

from pipelines.board import Board


def test_the_board_shows_the_latest_figures_and_none_before_the_first() -> None:
    board = Board()
    assert board.latest() == (0, {})
    board.tell(10, {"loss": 0.5, "fake_loss": 1.0})
    board.tell(20, {"loss": 0.25})
    assert board.latest() == (20, {"loss": 0.25})
    assert board.latest() == (20, {"loss": 0.25})
