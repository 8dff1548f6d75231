"""The budget dial, and what the oracle is worth."""

from dataclasses import replace

import numpy as np
import pytest
from viewer_scene import make_scene

from donerf import Scene, load_scene
from donerf.assets import asset, default_scene
from donerf.renderer import StageTimes
from donerf.scene_file import with_metadata
from viewer.budget_dial import WORTH_DB, Quality, choose, quality_of
from viewer.fly_camera import make_camera
from viewer.oracle_gap import OracleGap, oracle_cost
from viewer.render_modes import RenderMode
from viewer.rendering import Picture, RenderRequest

COUNTS = (1, 2, 4)
QUALITY = Quality(COUNTS, (0.25, 1.0), np.array([[24.0, 27.0], [24.5, 29.0], [24.6, 30.5]]))


def linear(per_sample: float, fixed: float = 10.0):
    """A machine whose full picture takes `fixed` and some more for each sample, ms."""
    return lambda samples: fixed + per_sample * samples


def picture(placement: str, value: int, psnr: float | None = None, samples: int = 4) -> Picture:
    camera = make_camera(np.eye(4), 4, 3, 1.0)
    request = RenderRequest(camera, samples, RenderMode.COLOR, placement=placement)  # type: ignore[arg-type]
    pixels = np.full((3, 4, 4), value, np.uint8)
    return Picture(request, pixels, 1.0, float(samples), StageTimes(), psnr=psnr)


def test_with_time_to_spare_the_best_picture_is_chosen():
    point = choose(QUALITY, linear(1.0), 1000.0, COUNTS)

    assert (point.samples, point.scale) == (4, 1.0)
    assert point.psnr == pytest.approx(30.5)


def test_with_little_time_pixels_are_worth_more_than_samples():
    # At 6 ms, one sample a ray leaves 43 % of the pixels, four leave 12 %.
    point = choose(QUALITY, linear(12.0, fixed=2.0), 6.0, COUNTS)

    assert point.samples < 4
    assert point.psnr == max(QUALITY.at(s, (6.0 / (2 + 12 * s)) ** 0.5) for s in COUNTS)


def test_quality_never_falls_as_the_budget_grows():
    decibels = [choose(QUALITY, linear(12.0), ms, COUNTS).psnr for ms in range(2, 200, 3)]

    assert decibels == sorted(decibels)


def test_a_trifle_is_no_reason_to_change():
    first = choose(QUALITY, linear(12.0), 1000.0, COUNTS)
    nearly = replace(QUALITY, psnr=QUALITY.psnr + np.array([[0], [1.5 - WORTH_DB / 2], [0]]))

    assert choose(nearly, linear(12.0), 1000.0, COUNTS, present=2).samples == 2
    assert choose(nearly, linear(12.0), 1000.0, COUNTS).samples == first.samples


def test_counts_that_are_not_offered_are_not_chosen():
    assert choose(QUALITY, linear(1.0), 1000.0, (1, 2, 64)).samples == 2


def test_the_shipped_scene_has_a_measured_front():
    scene = load_scene(default_scene())
    quality = quality_of(scene)
    assert quality is not None

    assert quality.counts == (1, 2, 4, 8, 16)
    assert quality.scales[-1] == 1.0
    # Larger pictures are better, each of them.
    assert np.all(np.diff(quality.psnr, axis=1) > 0)


def test_a_scene_that_was_only_measured_in_full_size_loses_as_the_others_do():
    scene = with_metadata(make_scene(), quality={"psnr": {"1": 25.0, "4": 30.0}})
    quality = quality_of(scene)
    assert quality is not None

    assert quality.at(4, 1.0) == pytest.approx(30.0)
    assert 15 < quality.at(4, quality.scales[0]) < quality.at(4, 0.5) < 30.0


def test_a_scene_that_was_never_measured_has_no_dial():
    unknown: Scene = make_scene()

    assert quality_of(unknown) is None


def test_the_oracle_costs_as_many_samples_as_its_matrices_weigh():
    scene = load_scene(asset("assets/courtyard.donerf"))
    networks = scene.cells[0].networks
    assert networks.shading is not None
    oracle, shading = (
        sum(values.numel() for values in network.state_dict().values() if values.ndim == 2)
        for network in (networks.oracle, networks.shading)
    )

    assert oracle_cost(scene) == pytest.approx(oracle / shading)
    assert 1 < oracle_cost(scene) < 2


def test_a_sample_from_a_hash_grid_costs_what_is_read_too():
    """Its matrices alone are a sixth of the other network's, its time is more than a third."""
    grid, sines = (
        oracle_cost(load_scene(asset(f"assets/{name}.donerf")))
        for name in ("courtyard_grid", "courtyard")
    )

    assert 2 < grid / sines < 3


def test_the_gap_is_told_against_the_truth_when_there_is_one():
    gap = OracleGap()
    assert not gap.take(picture("oracle", 10, psnr=30.39), 4)
    assert gap.sentence == ""
    assert gap.take(picture("uniform", 20, psnr=22.1, samples=7), 4)

    assert gap.sentence == (
        "S = 4 with the oracle: 30.39 dB; S = 7 without, at equal cost: 22.10 dB; "
        "the oracle gains +8.29 dB"
    )


def test_without_truth_the_two_pictures_are_compared_with_each_other():
    gap = OracleGap()
    gap.take(picture("oracle", 10), 4)
    gap.take(picture("uniform", 20), 4)

    # 20 log10(255 / 10)
    assert "28.13 dB between the two pictures" in gap.sentence


def test_the_gap_is_told_at_each_switch_and_not_at_each_picture():
    gap = OracleGap()
    switches = ["oracle", "uniform", "uniform", "oracle", "oracle", "uniform"]

    assert [gap.take(picture(placement, 10), 4) for placement in switches] == [
        *(False, True, False, True, False, True)
    ]


@pytest.mark.parametrize("other", ["view", "weights", "samples"])
def test_pictures_that_differ_in_more_than_the_placement_are_not_compared(other: str):
    gap = OracleGap()
    gap.take(picture("oracle", 10), 4)
    plain = picture("uniform", 20)
    moved = np.eye(4)
    moved[0, 3] = 1.0 if other == "view" else 0.0
    generation = 1 if other == "weights" else 0
    request = replace(plain.request, camera=make_camera(moved, 4, 3, 1.0), generation=generation)

    assert not gap.take(replace(plain, request=request), 8 if other == "samples" else 4)
    assert gap.sentence == ""
