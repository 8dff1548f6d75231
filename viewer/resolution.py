"""How many pixels to render so that a moving picture keeps its time budget.

The cost of a frame is linear in its pixels, so it can be predicted from the last one.
"""

from __future__ import annotations

import math

RUNGS = 8
# The smallest picture that still shows where one is going.
LOWEST_PIXELS = 10_000
# A frame this far off its budget is a reason to change; less is noise.
TOLERANCE = 0.15
# Rising is tried after this many frames in a row that left room for it. Each time that it proves
# wrong the patience doubles, up to the limit: a wrong prediction must not make the size swing.
PATIENCE = 5
PATIENCE_LIMIT = 160
# While settling, each picture has about four times the pixels of the one before: the last,
# full one is reached after a third of its own time.
SETTLE_GAIN = 4.0
_UNKNOWN = "nothing measured yet"


def make_ladder(width: int, height: int) -> tuple[float, ...]:
    """Scales of a window's edges, from 1 down to a tiny picture, in equal ratios."""
    lowest = min(1.0, math.sqrt(LOWEST_PIXELS / (width * height)))
    return tuple(lowest ** (rung / (RUNGS - 1)) for rung in range(RUNGS))


class ResolutionController:
    """Chooses a rung of the ladder for moving pictures; rung 0 is the full size.

    It drops at once when a frame is over budget and rises with patience. Nothing is measured from
    the first frame after a change, which pays for allocations and warm-up.

    rung:    that moving pictures have
    reason:  why they have it, for the screen
    """

    def __init__(self, budget_ms: float, width: int, height: int) -> None:
        self.budget_ms = budget_ms
        self.ms_per_pixel: float | None = None
        self.rung = RUNGS - 1
        self.reason = _UNKNOWN
        self.is_locked = False
        self._has_moving_measure = False
        self._fit_window(width, height)

    def size_at(self, rung: int) -> tuple[int, int]:
        """Width and height in pixels at a rung."""
        scale = self.ladder[rung]
        return max(1, round(self.width * scale)), max(1, round(self.height * scale))

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of a moving picture."""
        return self.size_at(self.rung)

    def predict_ms(self, rung: int) -> float | None:
        """What a frame at this rung should take; None before anything was measured."""
        if self.ms_per_pixel is None:
            return None
        width, height = self.size_at(rung)
        return self.ms_per_pixel * width * height

    def lock(self, rung: int) -> None:
        """Stay at a rung, whatever a frame takes, until `unlock`."""
        self.is_locked = True
        self.rung = min(max(rung, 0), RUNGS - 1)
        self.reason = "locked"
        self._start_anew()

    def unlock(self) -> None:
        """Follow the budget again."""
        if self.is_locked:
            self.is_locked = False
            self.reason = "unlocked"
            self._choose("unlocked")

    def set_budget(self, ms: float) -> None:
        """A moving picture may now take so long."""
        if ms != self.budget_ms:
            self.budget_ms = ms
            self._start_anew()
            self._choose("the budget changed")

    def resize(self, width: int, height: int) -> None:
        """Follow the window; the time that a pixel takes stays as it is."""
        self._fit_window(width, height)
        self._choose("the window changed")

    def cost_changed(self, factor: float) -> None:
        """Each pixel now takes `factor` times as long, for more samples, say."""
        if self.ms_per_pixel is not None:
            self.ms_per_pixel *= factor
        self._start_anew()
        self._choose("the cost of a pixel changed")

    def moving_frame(self, ms: float, size: tuple[int, int]) -> None:
        """A frame of a moving picture took `ms`. Drop at once, rise with patience."""
        if self._ignore_next:
            self._ignore_next = False
            return
        self._has_moving_measure = True
        if self._frames_since_rise is not None:
            self._frames_since_rise += 1
        self.ms_per_pixel = ms / (size[0] * size[1])
        if self.is_locked:
            return
        if self.reason == _UNKNOWN:
            self.reason = "measured while moving"
        if ms > self.budget_ms * (1 + TOLERANCE) and self.rung < RUNGS - 1:
            self._drop(f"{ms:.0f} ms were over the budget")
        elif self._has_room():
            self._frames_with_room += 1
            if self._frames_with_room >= self._patience:
                self._rise()
        else:
            self._frames_with_room = 0

    def still_frame(self, ms: float, size: tuple[int, int]) -> None:
        """A frame of a settling picture took `ms`: the first hint of what a pixel costs.

        Moving frames know better, since a small picture has more overhead in each pixel.
        """
        if self._ignore_next:
            self._ignore_next = False
        elif not self._has_moving_measure:
            self.ms_per_pixel = ms / (size[0] * size[1])
            self._choose("measured while still")

    def next_settling_rung(self, shown: int) -> int | None:
        """The rung to refine a picture of rung `shown` to; None when it is complete."""
        if shown == 0:
            return None
        step = 1
        while step < shown and self._gain(shown, shown - step) < SETTLE_GAIN:
            step += 1
        return shown - step

    def _fit_window(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self.ladder = make_ladder(width, height)
        self._start_anew()

    def _start_anew(self) -> None:
        self._ignore_next = True
        self._frames_with_room = 0
        self._frames_since_rise: int | None = None
        self._patience = PATIENCE

    def _has_room(self) -> bool:
        """Judged by the next finer rung: at the present one, room to spare says nothing."""
        finer_ms = self.predict_ms(self.rung - 1) if self.rung > 0 else None
        return finer_ms is not None and finer_ms < self.budget_ms * (1 - TOLERANCE)

    def _drop(self, reason: str) -> None:
        if self._frames_since_rise is not None and self._frames_since_rise <= self._patience:
            self._patience = min(2 * self._patience, PATIENCE_LIMIT)
        self._frames_since_rise = None
        self._choose(reason)

    def _rise(self) -> None:
        self._set_rung(self._finest_within(self.budget_ms * (1 - TOLERANCE)), "room to spare")
        self._frames_since_rise = 0

    def _choose(self, reason: str) -> None:
        if self.ms_per_pixel is not None and not self.is_locked:
            if self.reason == _UNKNOWN:
                self.reason = reason
            self._set_rung(self._finest_within(self.budget_ms), reason)

    def _finest_within(self, limit_ms: float) -> int:
        for rung in range(RUNGS):
            ms = self.predict_ms(rung)
            if ms is not None and ms <= limit_ms:
                return rung
        return RUNGS - 1

    def _set_rung(self, rung: int, reason: str) -> None:
        self._frames_with_room = 0
        if rung != self.rung:
            self.rung = rung
            self.reason = reason
            self._ignore_next = True

    def _gain(self, coarse: int, fine: int) -> float:
        return (self.ladder[fine] / self.ladder[coarse]) ** 2
