"""The scripts that look for the gap between training and test views, on a small scene."""

import json
from pathlib import Path

import pytest

from benchmarks import moved_rays
from benchmarks.gap import SHARE_LEFT_OUT, leave_views_out
from donerf.config import Config, SceneSettings
from donerf.data.dataset import load_dataset
from donerf.data.procedural import write_procedural_dataset

VIEWS = 8


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "scene"
    write_procedural_dataset(folder, (24, 18), (VIEWS, 2, 1))
    return folder


def test_views_that_are_left_out_are_not_trained_on_and_none_is_lost(data: Path, tmp_path: Path):
    leave_views_out(data, tmp_path / "part")
    leave_views_out(data, tmp_path / "part")  # A run that goes on finds the same views.

    kept, left_out = (set(load_dataset(tmp_path / "part", s).names) for s in ("train", "test"))
    assert not kept & left_out
    assert kept | left_out == set(load_dataset(data, "train").names)
    assert len(left_out) == SHARE_LEFT_OUT * VIEWS
    assert len(json.loads((data / "transforms_train.json").read_text())["frames"]) == VIEWS


def test_a_second_view_only_takes_rays_away_and_leaves_fewer_wrong_ones(
    data: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(moved_rays, "RAYS", 2000)

    rows = moved_rays.measure(Config(scene=SceneSettings(folder=data)), downscale=1)

    assert [tuple(row["moved"]) for row in rows] == list(moved_rays.DISTANCES)
    assert sum(row["rays"] for row in rows) > 0
    for row in rows:
        if row["rays"]:
            own, both = row["own_view_alone"], row["and_the_nearest"]
            assert both["kept"] <= own["kept"]
            assert both["wrong"] <= own["wrong"]
