"""When the frames of a video are shown, in whole ticks, so that nothing is rounded on the way to another file."""

from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
from jaxtyping import Int64


@dataclass(frozen=True)
class Timing:
    """Times of frames, and how they lie to the sound of the source."""

    rate: Fraction
    """Frames a second, on average."""
    time_base: Fraction
    """Seconds of a tick."""
    ticks: Int64[np.ndarray, " frames"] | None = None
    """When each frame is shown: rising, from 0 up. None: frame k at tick k, however many there are."""
    last: int = 1
    """Ticks for which the last frame is shown."""
    origin: Fraction = Fraction(0)
    """Seconds at tick 0 by the clock of the source, which its sound goes by."""
    end: Fraction | None = None
    """Seconds by the same clock at which the sound ends, where this is a part of a video. Then none before tick 0 is
    taken either."""

    def __post_init__(self) -> None:
        """Raise ValueError for a rate that is not positive, or ticks that are negative or do not rise."""
        if self.rate <= 0 or self.time_base <= 0:
            raise ValueError(f"got {self.rate} frames a second, ticks of {self.time_base} s: positive ones")
        if self.ticks is not None and not (len(self.ticks) and self.ticks[0] >= 0 and (np.diff(self.ticks) > 0).all()):
            raise ValueError(f"got the time stamps {self.ticks[:8]}: at least one, rising, from 0 up")
        if self.last < 1:
            raise ValueError(f"got a last frame of {self.last} ticks: at least 1")

    @classmethod
    def at_rate(cls, fps: float | Fraction) -> "Timing":
        """Return the times of frames at a rate, kept as a fraction with a denominator up to 1001."""
        rate = Fraction(fps).limit_denominator(1001) if fps > 0 else Fraction(0)
        if rate <= 0:
            raise ValueError(f"got fps={fps}: fps > 0")
        return cls(rate, 1 / rate)

    def at(self, frame: int) -> int:
        """Return the tick at which a frame is shown."""
        return frame if self.ticks is None else int(self.ticks[frame])

    def length(self, frame: int) -> int:
        """Return the ticks for which a frame is shown."""
        if self.ticks is None:
            return 1
        return self.last if frame == len(self.ticks) - 1 else self.at(frame + 1) - self.at(frame)

    def part(self, start: int, stop: int) -> "Timing":
        """Return the times of the frames from `start` up to `stop` alone, the first of them at 0.

        Raises ValueError where there are no such frames.
        """
        if not 0 <= start < stop <= (stop if self.ticks is None else len(self.ticks)):
            count = "any number" if self.ticks is None else f"{len(self.ticks)}"
            raise ValueError(f"got frames {start} to {stop} of {count}: at least one, from 0 up")
        first, last = self.at(start), self.length(stop - 1)
        return replace(
            self,
            ticks=None if self.ticks is None else self.ticks[start:stop] - first,
            last=last,
            origin=self.origin + first * self.time_base,
            end=self.origin + (self.at(stop - 1) + last) * self.time_base,
        )
