"""How a still picture gets better, and what the passes of anti-aliasing add up to."""

import numpy as np
import pytest
from viewer_scene import CELL, make_scene

from donerf import Renderer, make_renderer
from viewer.fly_camera import FlyFrame, make_camera
from viewer.render_modes import RenderMode
from viewer.rendering import Accumulator, Picture, RenderRequest, render_picture
from viewer.resolution import RUNGS, ResolutionController
from viewer.settling import (
    MAX_PASSES,
    Refinement,
    SettlePlan,
    best_samples,
    next_refinement,
    subpixel_offset,
)

RESOLUTION = ResolutionController(50.0, 800, 600)


@pytest.fixture(scope="module")
def renderer() -> Renderer:
    return make_renderer(make_scene(gains=(3.0, 3.0)), "cpu", "fp32")


def stages(plan: SettlePlan) -> list[Refinement]:
    found = [Refinement(RUNGS - 1, plan.samples)]
    while (following := next_refinement(found[-1], plan, RESOLUTION)) is not None:
        found.append(following)
    return found


def request(passes: int, is_moving: bool = False, yaw: float = 0.0) -> RenderRequest:
    frame = FlyFrame(CELL)
    camera = make_camera(frame.matrix(frame.turned(frame.home(), yaw, 0.0)), 24, 18, CELL.fov_x)
    return RenderRequest(camera, 4, RenderMode.COLOR, is_moving=is_moving, passes=passes)


def render(
    renderer: Renderer, asked: RenderRequest, accumulator: Accumulator | None = None
) -> Picture:
    picture = render_picture(renderer, asked, CELL, accumulator=accumulator)
    assert picture is not None
    return picture


def test_first_the_size_then_the_samples_then_the_edges_then_rest():
    found = stages(SettlePlan(samples=4, settled_samples=16, passes=3))
    rungs = [stage.rung for stage in found]

    assert rungs == sorted(rungs, reverse=True)
    assert found[-4:] == [Refinement(0, 4), *(Refinement(0, 16, n) for n in (1, 2, 3))]
    assert all(stage.samples == 4 for stage in found if stage.rung > 0)


def test_what_must_stay_as_asked_gets_its_size_and_no_more():
    assert stages(SettlePlan(4, 4, 1))[-1] == Refinement(0, 4)


def test_fewer_settled_samples_are_reached_too():
    # The user has gone back from 16 to 2 while the picture was at rest.
    assert next_refinement(Refinement(0, 16, 8), SettlePlan(2, 2, 1), RESOLUTION) == Refinement(
        0, 2
    )


def test_the_best_count_is_the_one_that_was_measured_to_be():
    assert best_samples({"1": 27.0, "8": 30.7, "16": 30.6}, (1, 2, 4, 8, 16)) == 8
    assert best_samples({}, (1, 2, 4)) == 4
    assert best_samples({"64": 40.0}, (1, 2)) == 2


def test_passes_look_through_different_places_of_the_pixel_and_fill_it_evenly():
    offsets = np.array([subpixel_offset(index) for index in range(MAX_PASSES)])

    assert tuple(offsets[0]) == (0.0, 0.0)
    assert len({tuple(offset) for offset in offsets}) == MAX_PASSES
    assert np.abs(offsets).max() < 0.5
    assert np.abs(offsets[:16].mean(axis=0)).max() < 0.07


def test_passes_one_by_one_are_the_same_as_all_at_once(renderer: Renderer):
    kept = Accumulator()
    last = render(renderer, request(1), kept)
    for passes in range(2, 5):
        last = render(renderer, request(passes), kept)
    assert kept.passes == 4

    assert np.array_equal(last.pixels, render(renderer, request(4)).pixels)


def test_only_the_missing_pass_is_rendered(renderer: Renderer, monkeypatch: pytest.MonkeyPatch):
    kept = Accumulator()
    render(renderer, request(3), kept)
    rendered: list[object] = []
    original = type(renderer).render

    def counted(self: Renderer, *arguments: object) -> object:
        rendered.append(arguments)
        return original(self, *arguments)  # type: ignore[arg-type]  # as they came

    monkeypatch.setattr(type(renderer), "render", counted)
    render(renderer, request(4), kept)

    assert len(rendered) == 1


def test_passes_smooth_the_picture(renderer: Renderer):
    one, many = (render(renderer, request(n)).pixels[..., :3].astype(int) for n in (1, 16))

    # The average of different pictures differs from each and varies less from pixel to pixel.
    assert np.abs(np.diff(many, axis=1)).mean() < np.abs(np.diff(one, axis=1)).mean()


def test_another_view_begins_anew(renderer: Renderer):
    kept = Accumulator()
    render(renderer, request(3), kept)
    other = render(renderer, request(2, yaw=0.3), kept)

    assert np.array_equal(other.pixels, render(renderer, request(2, yaw=0.3)).pixels)


def test_a_moving_picture_shows_no_old_pass(renderer: Renderer):
    kept = Accumulator()
    render(renderer, request(3), kept)
    moving = render(renderer, request(1, is_moving=True, yaw=0.3), kept)

    assert np.array_equal(moving.pixels, render(renderer, request(1, yaw=0.3)).pixels)


def test_a_cancelled_pass_leaves_the_sum_as_it_was(renderer: Renderer):
    kept = Accumulator()
    render(renderer, request(2), kept)
    assert render_picture(renderer, request(3), CELL, lambda: True, accumulator=kept) is None
    assert kept.passes == 2

    again = render(renderer, request(3), kept)
    assert np.array_equal(again.pixels, render(renderer, request(3)).pixels)
