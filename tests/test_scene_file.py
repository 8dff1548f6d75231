"""A .donerf file: round trip, and every kind of damage."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch.testing import assert_close

from donerf.config import OracleSettings, ShadingSettings
from donerf.files import write_atomically
from donerf.geometry.view_cell import ViewCell
from donerf.model.oracle import DepthOracle
from donerf.model.pipeline import Networks
from donerf.model.shading import ShadingNetwork
from donerf.scene_file import Metadata, Scene, SceneCell, _sha256, load_scene, save_scene

CELL = ViewCell((0.0, 1.0, 2.0), (1.0, 1.0, 1.0), 0.9, (0.5, 20.0), (-0.1, 19.0), 0.7)


def small_scene(with_shading: bool = True) -> Scene:
    oracle = DepthOracle(OracleSettings(width=8, layers=2))
    shading = ShadingNetwork(ShadingSettings(width=8, layers=3)) if with_shading else None
    return Scene([SceneCell(CELL, Networks(oracle, shading))], Metadata(name="Small", license="X"))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "small.donerf"
    save_scene(small_scene(), path)
    return path


def rewrite(path: Path, changes: dict, is_signed: bool = True) -> None:
    """Save a file again with some of its metadata changed, as another program would."""
    with safe_open(path, framework="pt") as opened:
        document = json.loads((opened.metadata() or {})["donerf"]) | changes
        held = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    if is_signed:
        document["sha256"] = _sha256(held, json.dumps(document))
    save_file(held, path, {"donerf": json.dumps(document)})


@pytest.mark.parametrize("with_shading", [True, False])
def test_a_scene_comes_back_as_it_was(tmp_path: Path, with_shading: bool):
    scene = small_scene(with_shading)

    save_scene(scene, tmp_path / "a.donerf")
    loaded = load_scene(tmp_path / "a.donerf")

    assert loaded.cells[0].cell == CELL
    assert (loaded.name, loaded.metadata.license) == ("Small", "X")
    before, after = scene.cells[0].networks, loaded.cells[0].networks
    assert (after.shading is not None) == with_shading
    for a, b in zip(before.oracle.parameters(), after.oracle.parameters(), strict=True):
        assert_close(a, b, rtol=0, atol=0)


def test_the_compositing_rule_is_kept_and_ours_where_a_file_names_none(file: Path):
    cell = small_scene().cells[0]
    networks = replace(cell.networks, compositing="published")
    save_scene(Scene([replace(cell, model=networks)]), file.with_name("published.donerf"))
    chain = replace(cell.networks, longest_comb=128)
    save_scene(Scene([replace(cell, model=chain)]), file.with_name("chain.donerf"))
    with safe_open(file, framework="pt") as opened:
        cells = json.loads((opened.metadata() or {})["donerf"])["cells"]
    del cells[0]["compositing"]
    rewrite(file, {"cells": cells})

    published, older = load_scene(file.with_name("published.donerf")), load_scene(file)

    assert published.cells[0].networks.compositing == "published"
    assert older.cells[0].networks.compositing == "last-opaque"
    assert older.cells[0].networks.longest_comb == 8
    assert load_scene(file.with_name("chain.donerf")).cells[0].networks.longest_comb == 128


def test_a_file_cut_short_is_refused_at_any_length(file: Path):
    whole = file.read_bytes()
    for length in (0, 7, 100, len(whole) // 2, len(whole) - 1):
        file.write_bytes(whole[:length])
        with pytest.raises(ValueError, match="not a whole"):
            load_scene(file)


def test_an_altered_file_is_refused(file: Path):
    data = bytearray(file.read_bytes())
    data[-3] ^= 1
    file.write_bytes(data)

    with pytest.raises(ValueError, match="checksum differs"):
        load_scene(file)


def test_altered_metadata_is_refused(file: Path):
    rewrite(file, {"license": "mine"}, is_signed=False)

    with pytest.raises(ValueError, match="checksum differs"):
        load_scene(file)


def test_a_field_that_this_version_does_not_know_is_kept(file: Path, tmp_path: Path):
    rewrite(file, {"weather": "fair"})

    scene = load_scene(file)
    save_scene(scene, tmp_path / "again.donerf")

    assert load_scene(tmp_path / "again.donerf").metadata.model_extra == {"weather": "fair"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"base_orientation": [[0, 0, 0]] * 3}, "must be a rotation"),
        ({"oracle": {"width": 10_000_000}}, "oracle.width"),
        ({"radius": -1.0}, "positive radius"),
    ],
)
def test_a_signed_file_with_an_impossible_cell_is_refused(file: Path, changes: dict, message: str):
    with safe_open(file, framework="pt") as opened:
        cells = json.loads((opened.metadata() or {})["donerf"])["cells"]
    rewrite(file, {"cells": [cells[0] | changes]})

    with pytest.raises(ValueError, match=message):
        load_scene(file)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": 2}, "reads up to 1; update"),
        ({"kind": "mesh"}, "'kind'"),
        ({"kind": "nerf"}, "must describe its nerf"),
        ({"cells": []}, "at least one view cell"),
    ],
)
def test_metadata_that_this_program_cannot_serve(file: Path, changes: dict, message: str):
    rewrite(file, changes)

    with pytest.raises(ValueError, match=message):
        load_scene(file)


def test_a_step_of_the_method_by_an_unknown_name_is_refused(file: Path):
    with safe_open(file, framework="pt") as opened:
        cells = json.loads((opened.metadata() or {})["donerf"])["cells"]
    cells[0]["warp"]["name"] = "spherical"
    rewrite(file, {"cells": cells})

    with pytest.raises(ValueError, match="the warp 'spherical'"):
        load_scene(file)


def test_networks_of_another_shape_than_stated_are_refused(file: Path):
    with safe_open(file, framework="pt") as opened:
        cells = json.loads((opened.metadata() or {})["donerf"])["cells"]
    cells[0]["oracle"]["width"] = 16
    rewrite(file, {"cells": cells})

    with pytest.raises(ValueError, match="must have the shape"):
        load_scene(file)


def test_other_files_folders_and_nothing_are_named(tmp_path: Path):
    (tmp_path / "text.donerf").write_text("hello, this is a text file and no scene")
    save_file({"x": torch.zeros(3)}, tmp_path / "other.donerf")

    with pytest.raises(ValueError, match="not a whole"):
        load_scene(tmp_path / "text.donerf")
    with pytest.raises(ValueError, match="no scene"):
        load_scene(tmp_path / "other.donerf")
    with pytest.raises(ValueError, match="got the folder"):
        load_scene(tmp_path)
    with pytest.raises(FileNotFoundError, match="no scene file"):
        load_scene(tmp_path / "none.donerf")


def test_a_failed_write_leaves_the_old_file_and_nothing_else(file: Path):
    before = file.read_bytes()

    def full_disk(beside: Path) -> None:
        beside.write_bytes(b"half")
        raise OSError(28, "No space left on device", str(beside))

    with pytest.raises(OSError, match=r"small\.donerf: No space left on device; .* unchanged"):
        write_atomically(file, full_disk)

    assert file.read_bytes() == before
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_what_is_no_file_is_never_replaced(tmp_path: Path):
    with pytest.raises(ValueError, match="must be a file"):
        write_atomically(Path("/dev/null"), lambda beside: beside.write_text("x"))
    with pytest.raises(ValueError, match="must be a file"):
        save_scene(small_scene(), tmp_path)
    (tmp_path / "text").write_text("")
    with pytest.raises(OSError, match="could not write"):
        save_scene(small_scene(), tmp_path / "text" / "a.donerf")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits file sizes as Linux does")
def test_a_really_full_disk_is_one_sentence_and_keeps_the_old_file(file: Path):
    """A file size limit makes the system refuse the write in the middle, as a full disk does."""
    before = file.read_bytes()
    code = (
        "import resource, signal, sys\n"
        "from donerf.command import run_as_command\n"
        "from donerf.scene_file import load_scene, save_scene\n"
        f"scene = load_scene({str(file)!r})\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        f"run_as_command(lambda: save_scene(scene, {str(file)!r}))\n"
    )

    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    assert result.returncode == 2
    assert "could not write" in result.stderr
    assert "Traceback" not in result.stderr
    assert file.read_bytes() == before
    assert [path.name for path in file.parent.iterdir()] == [file.name]
