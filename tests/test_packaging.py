"""What an installed copy needs beside the code, and what the project's files promise each other."""

import re
import tomllib
from itertools import chain
from pathlib import Path

import pytest

from donerf import assets
from donerf.assets import asset, default_scene, install_line

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PINNED = {
    line.split("==")[0].lower().replace("_", "-"): line.split("==")[1].strip()
    for line in (ROOT / "constraints.txt").read_text().splitlines()
    if "==" in line
}
EXTRAS = PROJECT["project"]["optional-dependencies"]
REQUIREMENTS = [*PROJECT["project"]["dependencies"], *chain(*EXTRAS.values())]


def test_assets_are_found_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    assert asset("assets/LICENSES.md").is_file()
    assert asset("shaders").is_dir()


def test_the_default_scene_is_a_scene_file():
    assert default_scene().suffix == ".donerf"


def test_a_missing_asset_is_named_in_the_error():
    with pytest.raises(FileNotFoundError, match="'assets/nowhere.donerf' must travel"):
        asset("assets/nowhere.donerf")


def test_an_installed_copy_uses_the_files_inside_the_package(tmp_path, monkeypatch):
    bundled = tmp_path / "donerf" / "_bundled" / "shaders" / "frame.frag"
    bundled.parent.mkdir(parents=True)
    bundled.touch()
    monkeypatch.setattr("donerf.assets._BUNDLED", tmp_path / "donerf" / "_bundled")

    assert asset("shaders/frame.frag") == bundled


def test_the_wheel_carries_shaders_and_assets_where_they_are_looked_for():
    included = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]

    assert included == {name: f"donerf/_bundled/{name}" for name in ("assets", "shaders")}


@pytest.mark.parametrize("requirement", REQUIREMENTS)
def test_requirements_are_bounded_on_both_sides_and_pinned(requirement: str):
    name = re.split(r"[\[<>=!~]", requirement)[0]
    if name == "donerf" or f"{name}==" in requirement:  # Ourselves, or pinned right there.
        return

    assert ">=" in requirement
    assert re.search(r",<\d", requirement)
    assert name in PINNED


def test_ci_runs_the_test_command_of_the_readme():
    # .ci/run finds the line by this same pattern and would stop if it were not there.
    commands = re.findall(r"^.*activate && .* && \./check$", (ROOT / "README.md").read_text(), re.M)

    assert len(commands) == 1
    assert "-c constraints.txt" in commands[0]


def test_an_extra_is_installed_where_the_program_came_from(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert install_line("bench") == f"pip install -e '{ROOT}[bench]'"
    monkeypatch.chdir(ROOT)
    assert install_line("bench") == "pip install -e '.[bench]'"
    monkeypatch.setattr(assets, "_BUNDLED", tmp_path)  # An installed wheel has that folder.
    assert install_line("bench") == "pip install 'donerf[bench]'"
