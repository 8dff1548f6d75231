"""What the viewer wants to see, and what to render next for it. Knows no GL and no window.

The window tells it about input and finished pictures, and asks what to render. The time comes in
as an argument, in seconds, so a test plays any session in no time.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from donerf import ViewCell
from viewer.controls import Action
from viewer.fly_camera import make_camera
from viewer.pilot import Pilot
from viewer.render_modes import RenderMode
from viewer.resolution import ResolutionController
from viewer.status import State
from viewer.worker import Failure, Picture, RenderRequest, Result, Saved

SAMPLE_COUNTS = (1, 2, 4, 8, 16)
# A picture counts as still when nothing has changed for this long.
SETTLE_SECONDS = 0.15
# How soon to look again while a key is held and nothing is being rendered.
MOVING_SECONDS = 1 / 60
MESSAGE_SECONDS = 5.0

_MODES = {
    Action.SHOW_COLOR: RenderMode.COLOR,
    Action.SHOW_DEPTH: RenderMode.DEPTH,
    Action.SHOW_ORACLE_DEPTH: RenderMode.ORACLE_DEPTH,
    Action.SHOW_ENTROPY: RenderMode.ENTROPY,
    Action.SHOW_SAMPLE_COUNT: RenderMode.SAMPLE_COUNT,
    Action.SHOW_OPACITY: RenderMode.OPACITY,
}


@dataclass(frozen=True)
class SessionSettings:
    """What a session starts with.

    modes:          that the renderer offers
    sample_counts:  that `-` and `=` step through
    budget_ms:      for one picture while moving
    """

    modes: tuple[RenderMode, ...]
    sample_counts: tuple[int, ...] = SAMPLE_COUNTS
    samples: int = 4
    mode: RenderMode = RenderMode.COLOR
    budget_ms: float = 66.0
    is_free: bool = False


@dataclass(frozen=True)
class View:
    """All that decides how a picture looks, its resolution apart.

    position:  scene units; yaw and pitch: radians, as in `FlyPose`
    size:      of the window's framebuffer, pixels
    """

    position: tuple[float, ...]
    yaw: float
    pitch: float
    samples: int
    mode: RenderMode
    size: tuple[int, int]


class Session:
    """A flight through one scene.

    error:    why the last picture failed; the one before it stays on the screen
    message:  something to say for a while
    shown:    the picture on the screen
    """

    def __init__(
        self, cell: ViewCell, settings: SessionSettings, size: tuple[int, int], now: float
    ) -> None:
        """Start at home, in a window whose framebuffer has `size` pixels."""
        self.cell = cell
        self.settings = settings
        self.pilot = Pilot(cell, settings.is_free, now)
        self.samples = settings.samples
        self.mode = settings.mode
        self.size = size
        self.resolution = ResolutionController(settings.budget_ms, max(size[0], 1), max(size[1], 1))
        self.error: str | None = None
        self.message = ""
        self.shown: Picture | None = None
        self._message_end = now
        self._asked: View | None = None
        self._asked_time = now
        self._awaited: RenderRequest | None = None
        self._has_failed = False

    def press(self, action: Action, now: float) -> None:
        """An input went down."""
        if action in _MODES:
            self._show(_MODES[action], now)
        elif action is Action.MORE_SAMPLES:
            self._change_samples(+1)
        elif action is Action.FEWER_SAMPLES:
            self._change_samples(-1)
        else:
            self.pilot.press(action, now)

    def resize(self, width: int, height: int) -> None:
        """The framebuffer has a new size; 0x0 while the window is minimized."""
        if (width, height) == self.size:
            return
        self.size = (width, height)
        if not self.is_minimized:
            self.resolution.resize(width, height)

    def take_result(self, result: Result, now: float) -> bool:
        """Note what became of a request; True when it is a new picture for the screen."""
        was_awaited = result.request is self._awaited
        if was_awaited:
            self._awaited = None
        if isinstance(result, Failure):
            self._take_failure(result, was_awaited, now)
            return False
        if isinstance(result, Saved):
            self.note(f"saved {result.path}", now)
        if not isinstance(result, Picture):
            return False
        self.error = None
        self._has_failed = False
        self.shown = result
        intrinsics = result.request.camera.intrinsics
        size = (intrinsics.width, intrinsics.height)
        if result.request.is_moving:
            self.resolution.moving_frame(result.ms, size)
        else:
            self.resolution.still_frame(result.ms, size)
        return True

    def next_request(self, now: float) -> RenderRequest | None:
        """What to render now; None when nothing, or nothing yet (see `seconds_to_wait`)."""
        self.pilot.advance(now)
        if self.is_minimized:
            return None
        if self._view != self._asked:
            self._asked, self._asked_time = self._view, now
            self._has_failed = False
            return self._ask(self.resolution.rung, is_moving=True)
        rung = self._settling_rung()
        if rung is None or now < self._asked_time + SETTLE_SECONDS:
            return None
        return self._ask(rung, is_moving=False)

    def seconds_to_wait(self, now: float) -> float | None:
        """How long the window may sleep when nothing happens; None for as long as it likes."""
        ends = []
        if self.message:
            ends.append(self._message_end)
        if not self.is_minimized and self._settling_rung() is not None:
            ends.append(self._asked_time + SETTLE_SECONDS)
        if not self.is_minimized and self._awaited is None and self.pilot.is_moving:
            ends.append(now + MOVING_SECONDS)
        return max(min(ends) - now, 0.0) if ends else None

    def capture(self) -> RenderRequest:
        """The present view in full size, to be saved."""
        return replace(self._request(0, is_moving=False), is_capture=True)

    def note(self, message: str, now: float) -> None:
        """Say something for a while."""
        self.message = message
        self._message_end = now + MESSAGE_SECONDS

    def forget_message(self, now: float) -> None:
        """Drop what has been said long enough."""
        if now >= self._message_end:
            self.message = ""

    @property
    def is_minimized(self) -> bool:
        """Whether there is nothing to draw on."""
        return min(self.size) < 1

    @property
    def state(self) -> State:
        """In a word, for the status file."""
        if self.is_minimized:
            return "minimized"
        if self.shown is None:
            return "starting"
        if self._view != self._asked or self.pilot.is_moving:
            return "moving"
        if self._awaited is not None:
            return "moving" if self._awaited.is_moving else "settling"
        return "settled" if self._settling_rung() is None else "settling"

    @property
    def _view(self) -> View:
        pose = self.pilot.pose
        position = tuple(float(x) for x in pose.position)
        return View(position, pose.yaw, pose.pitch, self.samples, self.mode, self.size)

    def _settling_rung(self) -> int | None:
        """The rung that comes next while the view stays as it is; None when there is none."""
        if self._awaited is not None or self.shown is None or self._has_failed:
            return None
        return self.resolution.next_settling_rung(self.shown.request.rung)

    def _ask(self, rung: int, is_moving: bool) -> RenderRequest:
        self._awaited = self._request(rung, is_moving)
        return self._awaited

    def _request(self, rung: int, is_moving: bool) -> RenderRequest:
        matrix = self.pilot.frame.matrix(self.pilot.pose)
        camera = make_camera(matrix, *self.resolution.size_at(rung), self.cell.fov_x)
        return RenderRequest(camera, self.samples, self.mode, rung, is_moving)

    def _take_failure(self, failure: Failure, was_awaited: bool, now: float) -> None:
        if failure.request.is_capture:
            self.note(f"the picture was not saved: {failure.message}", now)
        else:
            self.error = f"rendering failed: {failure.message}"
            # A newer request may succeed; only the newest failure ends the settling.
            self._has_failed = self._has_failed or was_awaited

    def _show(self, mode: RenderMode, now: float) -> None:
        if mode in self.settings.modes:
            self.mode = mode
        else:
            self.note(f"this renderer gives no '{mode}'", now)

    def _change_samples(self, direction: int) -> None:
        """Step through the sample counts; the time that shading takes follows their number."""
        counts = self.settings.sample_counts
        further = [count for count in counts if (count - self.samples) * direction > 0]
        if not further:
            return
        samples = min(further, key=lambda count: abs(count - self.samples))
        if self.shown is not None and self.shown.times.total_ms > 0:
            times = self.shown.times
            shading = (times.shading_ms + times.composite_ms) / times.total_ms
            self.resolution.cost_changed(1 + shading * (samples / self.samples - 1))
        self.samples = samples
