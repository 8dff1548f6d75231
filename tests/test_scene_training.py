"""`donerf train SCENE.json`: each view cell in turn, and on from where it was interrupted."""

import json
import shutil
from pathlib import Path

import pytest

from donerf.cli import run
from donerf.data.procedural import write_procedural_dataset
from donerf.files import write_text
from donerf.scene_file import load_scene

QUICK = [
    *("--oracle-training.steps", "6", "--shading-training.steps", "6"),
    *("--oracle.width", "16", "--shading.width", "16", "--device", "cpu", "--precision", "fp32"),
]


@pytest.fixture(scope="module")
def two_cells(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scene")
    for seed, name in enumerate(("left", "right")):
        write_procedural_dataset(folder / name, size=(24, 18), views=(4, 1, 1), seed=seed)
        # Where it says the data is, there is none: the list knows better.
        toml = f'[scene]\nfolder = "moved/away/{name}"\nname = "The {name} one"\n'
        write_text(folder / name / f"{name}.toml", toml)
    cells = [{"name": f"view_cell.{name}", "folder": name} for name in ("left", "right")]
    write_text(folder / "scene.json", json.dumps({"format": 1, "cells": cells}))
    return folder


@pytest.fixture
def at(two_cells: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to train in, which holds the scene as `gallery`."""
    shutil.copytree(two_cells, tmp_path / "gallery")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_cell_becomes_a_scene_file_of_its_own(at: Path, capsys):
    run(["train", "gallery/scene.json", *QUICK])

    for name in ("left", "right"):
        scene = load_scene(at / "runs" / "gallery" / f"{name}.donerf")
        assert scene.metadata.name == f"The {name} one"
        assert scene.cells[0].networks.shading is not None
    assert "cell view_cell.right is trained" in capsys.readouterr().out


def test_what_is_trained_is_left_and_what_was_begun_goes_on(at: Path, monkeypatch):
    def interrupted(*arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("donerf.recipes.train_shading", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run(["train", "gallery/scene.json", *QUICK])
    oracle = at / "runs" / "gallery" / "left" / "oracle" / "000006.donerf"
    trained = oracle.stat().st_mtime_ns
    assert not (at / "runs" / "gallery" / "right").exists()

    run(["train", "gallery/scene.json", *QUICK])

    assert oracle.stat().st_mtime_ns == trained
    files = {file: file.stat().st_mtime_ns for file in (at / "runs").rglob("*.donerf")}
    run(["train", "gallery/scene.json", *QUICK])
    assert {file: file.stat().st_mtime_ns for file in files} == files


def test_other_settings_than_the_run_was_begun_with_are_refused(at: Path):
    run(["train", "gallery/scene.json", *QUICK])

    with pytest.raises(ValueError, match="'oracle.width' was 16, is 8"):
        run(["train", "gallery/scene.json", *QUICK, "--oracle.width", "8"])


def test_a_cell_without_config_and_a_missing_list_are_named(at: Path):
    (at / "gallery" / "left" / "left.toml").unlink()

    with pytest.raises(FileNotFoundError, match="the cell 'view_cell.left' of gallery/scene.json"):
        run(["train", "gallery/scene.json", *QUICK])
    with pytest.raises(FileNotFoundError, match="there is no scene list nowhere.json"):
        run(["train", "nowhere.json"])
