"""The latest figures of a training run. Alone in its module, so that its actor starts without torch."""


class Board:
    """An actor that holds the latest figures: workers tell it, the driver asks it."""

    def __init__(self) -> None:
        self._step, self._figures = 0, dict[str, float]()

    def tell(self, step: int, figures: dict[str, float]) -> None:
        """Take the figures after a number of steps."""
        self._step, self._figures = step, figures

    def latest(self) -> tuple[int, dict[str, float]]:
        """Return the steps done and their figures."""
        return self._step, self._figures
