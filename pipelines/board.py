"""What workers and driver tell each other. Alone in its module, so that its actor starts without torch."""


class Board:
    """An actor that holds the latest figures, which workers tell it, and whether the driver wants them to stop."""

    def __init__(self) -> None:
        self._latest: tuple[int, dict[str, float]] | None = None
        self._stopping = False
        self._bad_clips: dict[str, None] = {}

    def tell(self, step: int, figures: dict[str, float]) -> None:
        """Take the figures after a number of steps."""
        self._latest = step, figures

    def latest(self) -> tuple[int, dict[str, float]] | None:
        """Return the steps done and their figures; None before the training has begun."""
        return self._latest

    def tell_bad_clips(self, lines: list[str]) -> None:
        """Take what is wrong with clips, from any worker and as often as they come."""
        self._bad_clips |= dict.fromkeys(lines)

    def bad_clips(self) -> list[str]:
        """Return the lines so far, each once, in the order in which they came."""
        return list(self._bad_clips)

    def stop(self) -> None:
        """Ask the workers to save and to end."""
        self._stopping = True

    def stopping(self) -> bool:
        """Return whether they were asked to."""
        return self._stopping
