"""What the viewer wants to see, and what to render next for it. Knows no GL and no window.

The window tells it about input and finished pictures, and asks what to render. The time comes in
as an argument, in seconds, so a test plays any session in no time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

from donerf import Camera, Scene, ViewCell
from donerf.renderer import Placement, RendererInfo
from viewer.budget_dial import DialPoint, Quality, choose, quality_of
from viewer.coloring import Look
from viewer.controls import Action
from viewer.fly_camera import FlyPose, make_camera
from viewer.ground_truth import GroundTruth
from viewer.oracle_gap import OracleGap, oracle_cost
from viewer.pilot import Pilot
from viewer.preferences import Preferences
from viewer.render_modes import RenderMode, offered_modes
from viewer.rendering import Picture, RenderRequest, Rival
from viewer.resolution import ResolutionController
from viewer.settling import Refinement, SettlePlan, best_samples, next_refinement
from viewer.status import State
from viewer.worker import Failure, Result, Saved

SAMPLE_COUNTS = (1, 2, 4, 8, 16)
CPU_BUDGET_MS = 66.0
GPU_BUDGET_MS = 14.0
# A picture counts as still when nothing has changed for this long.
SETTLE_SECONDS = 0.15
# How soon to look again while a key is held and nothing is being rendered.
MOVING_SECONDS = 1 / 60
MESSAGE_SECONDS = 5.0

MODE_ACTIONS = {
    Action.SHOW_COLOR: RenderMode.COLOR,
    Action.SHOW_DEPTH: RenderMode.DEPTH,
    Action.SHOW_ORACLE_DEPTH: RenderMode.ORACLE_DEPTH,
    Action.SHOW_ENTROPY: RenderMode.ENTROPY,
    Action.SHOW_SAMPLE_PLACES: RenderMode.SAMPLE_PLACES,
    Action.SHOW_NORMALS: RenderMode.NORMALS,
    Action.SHOW_OPACITY: RenderMode.OPACITY,
    Action.SHOW_ERROR: RenderMode.ERROR,
}


@dataclass(frozen=True)
class SessionSettings:
    """What a session starts with, beside what the user prefers.

    modes:          that there is data for
    sample_counts:  that `-` and `=` step through
    has_free_count: any other number of samples is rendered, too
    placements:     that the renderer offers
    can_adapt:      rays can get fewer or more samples by how sure the oracle is
    budget_ms:      for one picture while moving, where the user prefers none
    psnr:           dB by sample count, as the scene's file has it
    quality:        of moving pictures, for the budget dial; None where nothing is known
    oracle_cost:    of a ray's question to the oracle, in samples
    """

    modes: tuple[RenderMode, ...]
    sample_counts: tuple[int, ...] = SAMPLE_COUNTS
    has_free_count: bool = True
    placements: tuple[Placement, ...] = ("oracle",)
    can_adapt: bool = False
    mode: RenderMode = RenderMode.COLOR
    budget_ms: float = 66.0
    is_free: bool = False
    psnr: dict[str, float] = field(default_factory=dict)
    quality: Quality | None = None
    oracle_cost: float = 0.0


def session_settings(info: RendererInfo, scene: Scene, has_truth: bool) -> SessionSettings:
    """What a renderer and a scene offer."""
    counts = info.sample_counts or SAMPLE_COUNTS
    quality = quality_of(scene)
    if quality is not None and not set(counts) & set(quality.counts):
        quality = None
    return SessionSettings(
        modes=offered_modes(info, has_truth),
        sample_counts=counts,
        has_free_count=info.sample_counts is None,
        placements=info.placements,
        can_adapt=info.can_adapt,
        budget_ms=CPU_BUDGET_MS if info.device == "cpu" else GPU_BUDGET_MS,
        psnr=scene.metadata.quality.get("psnr", {}),
        quality=quality,
        oracle_cost=oracle_cost(scene),
    )


@dataclass(frozen=True)
class View:
    """All that decides how a picture looks, its resolution and refinement apart.

    position:  scene units; yaw and pitch: radians, as in `FlyPose`
    size:      of the window's framebuffer, pixels
    truth:     the view of the data set that is stood at
    renderer:  counts up when another one takes over
    rival:     label of what is rendered beside it, to compare
    adaptive:  rays get fewer or more samples by how sure the oracle is
    """

    position: tuple[float, ...]
    yaw: float
    pitch: float
    samples: int
    mode: RenderMode
    size: tuple[int, int]
    placement: Placement
    truth: int | None
    renderer: int
    rival: str | None
    adaptive: bool


@dataclass(frozen=True)
class Standpoint:
    """A view of the data set that is stood at, for as long as the pilot keeps this pose."""

    index: int
    pose: FlyPose


class Session:
    """A flight through one scene.

    error:      why the last picture failed; the one before it stays on the screen
    message:    something to say for a while
    shown:      the picture on the screen
    placement:  who says where the samples go: the oracle, or nobody
    rival:      what pictures are compared with; set by `compare_with`
    dial:       what the budget dial points to, when it chooses the samples
    """

    def __init__(
        self,
        cell: ViewCell,
        settings: SessionSettings,
        size: tuple[int, int],
        now: float,
        preferences: Preferences | None = None,
        truth: GroundTruth | None = None,
    ) -> None:
        """Start at home, in a window whose framebuffer has `size` pixels."""
        self.cell = cell
        self.settings = settings
        self.preferences = preferences or Preferences()
        self.truth = truth
        self.pilot = Pilot(cell, settings.is_free, now)
        self.mode = settings.mode
        self.placement: Placement = "oracle"
        self.dial: DialPoint | None = None
        self.oracle_gap = OracleGap()
        self.size = size
        self.resolution = ResolutionController(self.budget_ms, max(size[0], 1), max(size[1], 1))
        self.error: str | None = None
        self.message = ""
        self.shown: Picture | None = None
        self.rival: Rival | None = None
        self._message_end = now
        self._standpoint: Standpoint | None = None
        self._renderers = 0
        # Of the samples asked for, what was shaded when the oracle was switched off.
        self._shaded_share = 1.0
        self._asked: View | None = None
        self._asked_time = now
        self._awaited: RenderRequest | None = None
        self._has_failed = False
        self.prefer(self.preferences)

    def press(self, action: Action, now: float) -> None:
        """An input went down."""
        if action in MODE_ACTIONS:
            self.show(MODE_ACTIONS[action], now)
        elif action is Action.MORE_SAMPLES:
            self._step_samples(+1)
        elif action is Action.FEWER_SAMPLES:
            self._step_samples(-1)
        elif action is Action.ORACLE:
            self.toggle_oracle(now)
        elif action is Action.PANEL:
            is_open = not self.preferences.panel.is_open
            self.preferences = self.preferences.changed("panel", is_open=is_open)
        elif action is Action.HUD:
            has_hud = not self.preferences.viewing.has_hud
            self.preferences = self.preferences.changed("viewing", has_hud=has_hud)
        elif action is Action.LOCK:
            rung = None if self.resolution.is_locked else self.resolution.rung
            self.prefer(self.preferences.changed("performance", locked_rung=rung))
        else:
            self.pilot.press(action, now)
            speed = self.pilot.speed / self.pilot.usual_speed
            self.preferences = self.preferences.changed("flying", speed_factor=speed)

    def prefer(self, preferences: Preferences) -> None:
        """Follow what the user prefers from now on."""
        samples = self.samples
        self.preferences = preferences
        self._turn_dial(samples)
        self._cost_changed(samples)
        self.resolution.set_budget(self.budget_ms)
        rung = preferences.performance.locked_rung
        if rung is None:
            self.resolution.unlock()
        elif not self.resolution.is_locked or rung != self.resolution.rung:
            self.resolution.lock(rung)
        self.pilot.speed = self.pilot.usual_speed * preferences.flying.speed_factor

    def choose_samples(self, samples: int) -> None:
        """Choose by hand, so no longer by the dial."""
        chosen = self.preferences.changed("sampling", samples=samples)
        self.prefer(chosen.changed("performance", chooses_samples=False))

    def show(self, mode: RenderMode, now: float) -> None:
        """Show something else; the error is shown where there is a picture to compare with."""
        if mode not in self.settings.modes:
            needs_data = mode is RenderMode.ERROR and self.truth is None
            why = "name a data set with --data" if needs_data else "this renderer does not give it"
            self.note(f"'{mode}' cannot be shown: {why}", now)
            return
        self.mode = mode
        if mode is RenderMode.ERROR and self.truth is not None and self.view_index is None:
            matrix = self.pilot.frame.matrix(self.pilot.pose)
            self.stand_at(self.truth.nearest(matrix, self.cell))

    def toggle_oracle(self, now: float) -> None:
        """Place the samples as the oracle says, or evenly along the ray."""
        if "uniform" not in self.settings.placements:
            has_none = not self.settings.placements
            self.note(
                "this scene has no oracle"
                if has_none
                else "this renderer cannot do without the oracle",
                now,
            )
            return
        if self.placement == "oracle" and self.shown is not None:
            self._shaded_share = self.shown.mean_samples / self.shown.request.samples
        self.placement = "uniform" if self.placement == "oracle" else "oracle"

    def stand_at(self, index: int) -> None:
        """Stand where a view of the data set was taken, until the camera moves."""
        assert self.truth is not None, "there is no data set to stand in"
        self.pilot.go_to(self.truth.cameras[index].world_from_camera)
        self._standpoint = Standpoint(index, self.pilot.pose)

    def compare_with(self, rival: Rival | None) -> None:
        """Have every picture rendered in two ways from now on; None renders it in one."""
        before, after = (1 if one is None or one.is_truth else 2 for one in (self.rival, rival))
        if rival is not None and self.rival is not None and rival.label == self.rival.label:
            # Newer weights of the same one: nothing else changes.
            self._renderers += 1
        self.rival = rival
        if before != after:
            self.resolution.cost_changed(after / before)

    def enter(self, cell: ViewCell, settings: SessionSettings, now: float) -> None:
        """Another scene is shown; or newer weights of the same one, and everything stays."""
        self.renderer_changed(settings)
        if cell != self.cell:
            self.cell, self.truth = cell, None
            self.pilot = Pilot(cell, self.pilot.is_free, now)
            self.prefer(self.preferences)

    def compare_with_truth(self, truth: GroundTruth | None, settings: SessionSettings) -> None:
        """Another data set is there to stand in and to compare with, or none."""
        self.truth, self._standpoint = truth, None
        self.settings = settings

    def resize(self, width: int, height: int) -> None:
        """The framebuffer has a new size; 0x0 while the window is minimized."""
        if (width, height) == self.size:
            return
        self.size = (width, height)
        if not self.is_minimized:
            self.resolution.resize(width, height)

    def renderer_changed(self, settings: SessionSettings) -> None:
        """Another renderer took over; what the old one has shown is out of date."""
        self.settings = settings
        self._renderers += 1
        if self.mode not in settings.modes:
            self.mode = RenderMode.COLOR
        if self.placement not in settings.placements:
            self.placement = "oracle"

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
        request = result.request
        is_as_asked = request.samples == self.samples and request.passes == 1
        if request.is_moving:
            self.resolution.moving_frame(result.ms, result.size)
        elif is_as_asked:
            self.resolution.still_frame(result.ms, result.size)
        # Where there is time for it, a moving picture has its full size at once.
        if is_as_asked and request.rung == 0 and self.oracle_gap.take(result, self.chosen_samples):
            self.note(self.oracle_gap.sentence, now)
        return True

    def next_request(self, now: float) -> RenderRequest | None:
        """What to render now; None when nothing, or nothing yet (see `seconds_to_wait`)."""
        self.pilot.advance(now)
        if self.is_minimized:
            return None
        if self._view != self._asked:
            # With newer weights nothing jumps: the same view is refined as if it were unfinished.
            has_moved = self.shown is None or not self._is_same_view
            if has_moved:
                samples = self.samples
                self._turn_dial(samples)
                self._cost_changed(samples)
            self._asked, self._has_failed = self._view, False
            if has_moved:
                self._asked_time = now
                return self._ask(Refinement(self.resolution.rung, self.samples), is_moving=True)
        refinement = self._next_refinement()
        if refinement is None or now < self._asked_time + SETTLE_SECONDS:
            return None
        return self._ask(refinement, is_moving=False)

    def seconds_to_wait(self, now: float) -> float | None:
        """How long the window may sleep when nothing happens; None for as long as it likes."""
        ends = []
        if self.message:
            ends.append(self._message_end)
        if not self.is_minimized and self._view != self._asked:
            ends.append(now)
        if not self.is_minimized and self._next_refinement() is not None:
            ends.append(self._asked_time + SETTLE_SECONDS)
        if not self.is_minimized and self._awaited is None and self.pilot.is_moving:
            ends.append(now + MOVING_SECONDS)
        return max(min(ends) - now, 0.0) if ends else None

    def capture(self) -> RenderRequest:
        """The present view in full size, as refined as it is shown, to be saved."""
        refinement = Refinement(0, self.samples)
        if self.shown is not None and self.state == "settled" and self.shown.request.rung == 0:
            refinement = _refinement_of(self.shown.request)
        request = self._request(refinement, is_moving=False)
        return replace(request, is_capture=True, look=self.look, rival=None)

    def note(self, message: str, now: float) -> None:
        """Say something for a while."""
        self.message = message
        self._message_end = now + MESSAGE_SECONDS

    def forget_message(self, now: float) -> None:
        """Drop what has been said long enough."""
        if now >= self._message_end:
            self.message = ""

    @property
    def samples(self) -> int:
        """Per ray, while moving. Without the oracle, what it costs goes into more of them."""
        if self.placement == "oracle":
            return self.chosen_samples
        shaded = self.chosen_samples * self._shaded_share
        return max(math.floor(shaded + self.settings.oracle_cost), 1)

    @property
    def chosen_samples(self) -> int:
        """Per ray, as chosen by hand or by the dial, for a ray that asks the oracle."""
        if self.dial is not None:
            return self.dial.samples
        return self._offered(self.preferences.sampling.samples)

    @property
    def is_adaptive(self) -> bool:
        """Whether the oracle also says how many samples a ray gets."""
        is_wanted = self.preferences.sampling.adaptive and self.settings.can_adapt
        return is_wanted and self.placement == "oracle"

    @property
    def settled_samples(self) -> int:
        """Per ray of a picture at rest: as preferred, else what was measured to look best."""
        settled = self.preferences.sampling.settled_samples
        if settled is None:
            settled = best_samples(self.settings.psnr, self.settings.sample_counts)
        return max(self._offered(settled), self.samples)

    @property
    def budget_ms(self) -> float:
        """For one picture while moving."""
        return self.preferences.performance.budget_ms or self.settings.budget_ms

    @property
    def look(self) -> Look:
        """How pictures are shown."""
        viewing = self.preferences.viewing
        return Look(viewing.exposure_ev, viewing.near, viewing.far)

    @property
    def view_index(self) -> int | None:
        """The view of the data set that is stood at; None elsewhere."""
        here = self._standpoint
        return here.index if here is not None and here.pose is self.pilot.pose else None

    @property
    def shown_mode(self) -> RenderMode:
        """What pictures show: the mode, but colors where there is no truth for an error."""
        has_no_truth = self.mode is RenderMode.ERROR and self.view_index is None
        return RenderMode.COLOR if has_no_truth else self.mode

    @property
    def is_minimized(self) -> bool:
        """Whether there is nothing to draw on."""
        return min(self.size) < 1

    @property
    def is_refining(self) -> bool:
        """Whether a better picture of the same view is being rendered."""
        return self._awaited is not None and not self._awaited.is_moving

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
        return "settled" if self._next_refinement() is None else "settling"

    @property
    def _view(self) -> View:
        pose = self.pilot.pose
        position = tuple(float(x) for x in pose.position)
        return View(
            position,
            pose.yaw,
            pose.pitch,
            self.samples,
            self.shown_mode,
            self.size,
            self.placement,
            self.view_index,
            self._renderers,
            self.rival.label if self.rival is not None else None,
            self.is_adaptive,
        )

    @property
    def _plan(self) -> SettlePlan:
        # What is measured or compared must be what was asked for, and so must values.
        is_plain = self.view_index is not None or self.placement != "oracle"
        is_plain = is_plain or self.rival is not None
        if is_plain or self.shown_mode is not RenderMode.COLOR:
            return SettlePlan(self.samples, self.samples, 1)
        return SettlePlan(self.samples, self.settled_samples, self.preferences.sampling.passes)

    @property
    def _is_same_view(self) -> bool:
        """Whether only the renderer has changed since a picture was asked for."""
        asked = self._asked
        return asked is not None and replace(asked, renderer=self._renderers) == self._view

    def _next_refinement(self) -> Refinement | None:
        """What comes next while the view stays as it is; None when there is nothing."""
        if self._awaited is not None or self.shown is None or self._has_failed:
            return None
        shown = _refinement_of(self.shown.request)
        if self.shown.request.generation != self._renderers:
            return replace(shown, passes=1)
        if not self.preferences.performance.refines:
            return None
        return next_refinement(shown, self._plan, self.resolution)

    def _ask(self, refinement: Refinement, is_moving: bool) -> RenderRequest:
        self._awaited = self._request(refinement, is_moving)
        return self._awaited

    def _request(self, refinement: Refinement, is_moving: bool) -> RenderRequest:
        return RenderRequest(
            self._camera(refinement.rung),
            refinement.samples,
            self.shown_mode,
            refinement.rung,
            is_moving,
            placement=self.placement,
            passes=refinement.passes,
            view=self.view_index,
            rival=self.rival,
            generation=self._renderers,
            adaptive=self.is_adaptive,
        )

    def _camera(self, rung: int) -> Camera:
        """The window's camera; at a view of the data set its own, so that pictures compare."""
        if self.truth is not None and self.view_index is not None:
            camera = self.truth.cameras[self.view_index]
            if rung == 0:
                return camera
            # As many pixels as the window would have, but no more than there are to compare with.
            k, (width, height) = camera.intrinsics, self.resolution.size_at(rung)
            scale = min(math.sqrt(width * height / (k.width * k.height)), 1.0)
            return camera.resized(max(1, round(k.width * scale)), max(1, round(k.height * scale)))
        matrix = self.pilot.frame.matrix(self.pilot.pose)
        return make_camera(matrix, *self.resolution.size_at(rung), self.cell.fov_x)

    def _take_failure(self, failure: Failure, was_awaited: bool, now: float) -> None:
        if failure.request.is_capture:
            self.note(f"the picture was not saved: {failure.message}", now)
        else:
            self.error = f"rendering failed: {failure.message}"
            # A newer request may succeed; only the newest failure ends the settling.
            self._has_failed = self._has_failed or was_awaited

    def _turn_dial(self, measured: int) -> None:
        """Choose the samples for the budget, when that is wanted and the cost is known.

        measured:  samples per ray that the time of a pixel is known for
        """
        quality, ms_per_pixel = self.settings.quality, self.resolution.ms_per_pixel
        if not self.preferences.performance.chooses_samples or quality is None:
            self.dial = None
        elif ms_per_pixel is not None and self.shown is not None and not self.is_minimized:
            full = ms_per_pixel * self.size[0] * self.size[1]

            def ms_of(samples: int) -> float:
                return full * self._cost_ratio(measured, samples)

            counts = self.settings.sample_counts
            self.dial = choose(quality, ms_of, self.budget_ms, counts, self.chosen_samples)

    def _offered(self, samples: int) -> int:
        """The nearest number of samples that is rendered."""
        if self.settings.has_free_count:
            return samples
        return min(self.settings.sample_counts, key=lambda count: abs(count - samples))

    def _step_samples(self, direction: int) -> None:
        """Go to the next sample count that is offered."""
        counts = self.settings.sample_counts
        present = self.chosen_samples
        further = [count for count in counts if (count - present) * direction > 0]
        if further:
            self.choose_samples(min(further, key=lambda count: abs(count - present)))

    def _cost_changed(self, samples_before: int) -> None:
        """The time that shading takes follows the number of samples."""
        if self.samples != samples_before:
            self.resolution.cost_changed(self._cost_ratio(samples_before, self.samples))

    def _cost_ratio(self, before: int, after: int) -> float:
        """How many times as long a pixel takes with other samples, by the last picture's times."""
        if self.shown is None or self.shown.times.total_ms <= 0:
            return 1.0
        times, shown = self.shown.times, self.shown.request.samples
        per_sample = (times.shading_ms + times.composite_ms) / shown
        fixed = times.total_ms - per_sample * shown
        return (fixed + per_sample * after) / (fixed + per_sample * before)


def _refinement_of(request: RenderRequest) -> Refinement:
    return Refinement(request.rung, request.samples, request.passes)
