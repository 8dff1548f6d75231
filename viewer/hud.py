"""What the window says in words: its title, the numbers over the picture, and a banner."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from donerf import Scene
from donerf.renderer import RendererInfo, StageTimes
from viewer.session import Session
from viewer.transfer import TransferLadder

_FRAMES_AVERAGED = 15
_FRAMES_KEPT = 500
_FRAMES_FOR_LOW = 50
_FRAMES_PLOTTED = 120
# A longer pause between two pictures is no frame rate any more.
_PAUSE_SECONDS = 1.0


class FrameClock:
    """Pictures per second: lately, and in the worst hundredth."""

    def __init__(self) -> None:
        """Nothing was shown yet."""
        self._last: float | None = None
        self._ms: deque[float] = deque(maxlen=_FRAMES_KEPT)
        # How many of the last ones belong to one movement.
        self._run = 0

    def tick(self, now: float) -> None:
        """A picture is shown at `now`, in seconds."""
        if self._last is not None and now - self._last > _PAUSE_SECONDS:
            self._run = 0
        elif self._last is not None and now > self._last:
            self._ms.append((now - self._last) * 1000)
            self._run += 1
        self._last = now

    @property
    def fps(self) -> float | None:
        """Pictures per second; None when there are too few to tell."""
        recent = list(self._ms)[-min(self._run, _FRAMES_AVERAGED) :] if self._run else []
        return 1000 * len(recent) / sum(recent) if recent else None

    @property
    def low(self) -> float | None:
        """Pictures per second in the slowest hundredth; None when there are too few to tell."""
        if len(self._ms) < _FRAMES_FOR_LOW:
            return None
        slowest = sorted(self._ms)[-max(len(self._ms) // 100, 1) :]
        return 1000 * len(slowest) / sum(slowest)

    @property
    def frame_ms(self) -> np.ndarray:
        """(N,) float32 milliseconds between pictures, the newest last."""
        return np.array(list(self._ms)[-_FRAMES_PLOTTED:], np.float32)


@dataclass(frozen=True)
class Facts:
    """What the window knows and the session does not.

    transfer:     how pictures get to the window, and why not in a better way
    transfer_ms:  of the last one, on the window's thread
    """

    scene: Scene
    info: RendererInfo
    clock: FrameClock
    transfer: TransferLadder
    transfer_ms: float = 0.0


def size_of_moving(session: Session) -> str:
    """How large moving pictures are."""
    resolution = session.resolution
    width, height = resolution.size
    return f"{width}x{height} ({round(100 * resolution.ladder[resolution.rung])} %) while moving"


def hud_lines(session: Session, facts: Facts) -> list[str]:
    """The numbers over the picture, a line each."""
    shown, info = session.shown, facts.info
    if shown is None:
        return ["first picture ..."]
    request, times, clock = shown.request, shown.times, facts.clock
    rate = "still" if not request.is_moving or clock.fps is None else f"{clock.fps:.1f} fps"
    low = f", 1 % low {clock.low:.1f}" if clock.low is not None else ""
    width, height = shown.size
    mean = f" ({shown.mean_samples:.1f} on average)" if request.adaptive else ""
    passes = f", pass {request.passes}" if request.passes > 1 else ""
    lines = [
        f"{rate}{low}",
        f"{_ms(shown.ms)} ms, transfer {_ms(facts.transfer_ms)}",
        # A renderer of another kind has no such stages.
        *([_stages(times)] if times.shading_ms > 0 else []),
        f"{width}x{height}, S = {request.samples}{mean}{passes}, {request.mode}",
        f"{size_of_moving(session)}: {session.resolution.reason}",
        f"{renders_with(info)}, {facts.transfer.way} transfer",
        f"flies {session.pilot.speed_now:.2g} units a second",
    ]
    if session.view_index is not None and session.truth is not None:
        quality = f": PSNR {shown.psnr:.2f} dB" if shown.psnr is not None else ""
        lines.append(f"{session.truth.names[session.view_index]}{quality}")
    if request.placement != "oracle":
        lines.append("without the oracle")
    return lines


def _stages(times: StageTimes) -> str:
    return (
        f"oracle {_ms(times.oracle_ms)}, placement {_ms(times.placement_ms)}, "
        f"shading {_ms(times.shading_ms)}, composite {_ms(times.composite_ms)}"
    )


def renders_with(info: RendererInfo) -> str:
    """What renders, in a few words; the backend that is named after its device is named once."""
    backend = "" if info.backend == info.device else f"{info.backend} "
    return f"{backend}{info.device} {info.precision}"


def _ms(value: float) -> str:
    """Milliseconds with as many digits as can be read."""
    return f"{value:.0f}" if value >= 99.5 else f"{value:.1f}"


def make_title(scene: str, session: Session, clock: FrameClock, info: RendererInfo) -> str:
    """The window's title: the scene, and how fast what is being shown."""
    if session.shown is None:
        return f"{scene} - first picture ..."
    request, ms = session.shown.request, session.shown.ms
    width, height = session.shown.size
    scale = round(100 * session.resolution.ladder[request.rung])
    fps = f"{clock.fps:.1f} fps" if request.is_moving and clock.fps is not None else "still"
    parts = [
        f"{fps}, {ms:.0f} ms",
        f"{width}x{height} ({scale} %)",
        f"S={request.samples}" + (f" x{request.passes}" if request.passes > 1 else ""),
        str(request.mode),
        renders_with(info),
        f"speed {session.pilot.speed_now:.2g}/s",
    ]
    if session.pilot.is_extrapolating:
        parts.append("outside the trained views")
    return f"{scene} - " + " | ".join(parts)
