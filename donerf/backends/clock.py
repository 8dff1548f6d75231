"""How long the stages of a frame take, on a CPU or a CUDA GPU."""

from __future__ import annotations

import time
from typing import get_args

import torch

from donerf.model.pipeline import Stage
from donerf.renderer import StageTimes


class StageClock:
    """Adds up what each stage takes over the tiles of a frame.

    Made while a CUDA graph is recorded, it is read again after each replay.
    """

    def __init__(self, device: torch.device) -> None:
        self._is_cuda = device.type == "cuda"
        self._began = self._mark()
        self._last = self._began
        self._spans: list[tuple[Stage, _Mark, _Mark]] = []

    def start(self) -> None:
        """The next stage begins now."""
        self._last = self._mark()

    def finished(self, stage: Stage) -> None:
        """A stage is done, the next one begins."""
        now = self._mark()
        self._spans.append((stage, self._last, now))
        self._last = now

    def times(self) -> StageTimes:
        """Milliseconds of each stage so far, and of everything."""
        end = self._mark()
        if isinstance(end, torch.cuda.Event):
            end.synchronize()  # sync: events are read only after they happened.
        sums: dict[Stage, float] = dict.fromkeys(get_args(Stage), 0.0)
        for stage, before, after in self._spans:
            sums[stage] += _milliseconds(before, after)
        return StageTimes(
            oracle_ms=sums["oracle"],
            placement_ms=sums["placement"],
            shading_ms=sums["shading"],
            composite_ms=sums["composite"],
            total_ms=_milliseconds(self._began, end),
        )

    def _mark(self) -> _Mark:
        if not self._is_cuda:
            return time.perf_counter()
        # While a graph is recorded, an event must be made a part of it.
        is_part = torch.cuda.is_current_stream_capturing()
        event = torch.cuda.Event(enable_timing=True, external=is_part)
        event.record()
        return event


_Mark = float | torch.cuda.Event


def _milliseconds(before: _Mark, after: _Mark) -> float:
    if isinstance(before, torch.cuda.Event) and isinstance(after, torch.cuda.Event):
        return before.elapsed_time(after)
    assert isinstance(before, float) and isinstance(after, float)
    return (after - before) * 1000
