"""Where results are printed."""

from rich.console import Console


def console() -> Console:
    """The console of results; progress and errors go to stderr."""
    return Console(highlight=False)


def say(text: str) -> None:
    """Print a line of results as it is, however long."""
    console().print(text, soft_wrap=True, markup=False)
