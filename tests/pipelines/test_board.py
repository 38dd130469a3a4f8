"""The board between workers and driver."""

from pipelines.board import Board


def test_the_board_shows_the_latest_figures_and_none_before_the_first() -> None:
    board = Board()
    assert board.latest() is None
    board.tell(10, {"loss": 0.5, "fake_loss": 1.0})
    board.tell(20, {"loss": 0.25})
    assert board.latest() == (20, {"loss": 0.25})
    assert board.latest() == (20, {"loss": 0.25})


def test_a_wish_to_stop_stays() -> None:
    board = Board()
    assert not board.stopping()
    board.stop()
    assert board.stopping()
    assert board.stopping()
