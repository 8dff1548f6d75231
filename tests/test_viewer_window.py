"""The real window under a virtual display, steered by real key and mouse events and by drops."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from viewer_display import SECONDS, VIEW, needs_display_tools, viewer
from viewer_scene import CELL, make_scene, write_data, write_scene

from donerf.scene_file import save_scene, with_metadata


@needs_display_tools
def test_a_session_with_keys_and_mouse(tmp_path: Path):
    with viewer(tmp_path, str(write_scene(tmp_path)), "--captures", str(tmp_path)) as running:
        start = running.wait_settled()
        assert start["size"] == [160, 120]
        assert start["position"] == pytest.approx(CELL.center)

        running.do("keydown", "w")
        at_wall = running.wait_for(lambda status: status["position"][1] == CELL.upper[1])
        running.do("keyup", "w")
        assert CELL.lower[2] <= at_wall["position"][2] < CELL.center[2], "it looks down a little"

        frames = running.status["frames"]
        running.do(
            "mousemove", "60", "60", "mousedown", "1", "mousemove", "90", "60", "mouseup", "1"
        )
        running.wait_for(lambda status: status["frames"] > frames)

        running.do("key", "equal")
        running.wait_for(lambda status: status["samples"] == 8)
        running.do("key", "2")
        running.wait_for(lambda status: status["mode"] == "depth")

        running.do("key", "p")
        running.wait_for(lambda _: (tmp_path / "noise-0001.json").exists())
        assert json.loads((tmp_path / "noise-0001.json").read_text())["samples"] == 8

        running.do("key", "h")
        running.wait_for(lambda status: status["has_help"])
        running.do("key", "Escape")
        running.wait_for(lambda status: not status["has_help"])
        running.resize(201, 97)
        running.wait_for(lambda status: status["size"] == [201, 97])
        running.resize(160, 120)
        running.wait_for(lambda status: status["size"] == [160, 120])

        idle = running.wait_settled()["frames"]
        assert running.status["frames"] == idle, "an idle window renders nothing"

        # Both arrive before the picture is rendered: it is saved all the same.
        running.do("key", "p", "key", "ctrl+q")
        assert running.process.wait(SECONDS) == 0
        assert (tmp_path / "noise-0002.json").exists()
        assert running.status["state"] == "done"


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a display cannot be taken away")
def test_without_a_display_the_flight_is_filmed(tmp_path: Path):
    display = {"DISPLAY", "WAYLAND_DISPLAY", "XDG_RUNTIME_DIR"}
    environment = {name: value for name, value in os.environ.items() if name not in display}
    done = subprocess.run(
        [sys.executable, VIEW, str(write_scene(tmp_path)), "--frames", "2", "--size", "16x12"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith("no window, ")
    assert "filmed to fly.mp4" in done.stderr.splitlines()[0]
    assert (tmp_path / "fly.mp4").stat().st_size > 0
    assert json.loads(done.stdout)["frames"] == 2


def write_text(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


@needs_display_tools
def test_a_session_with_files_that_are_dropped_a_path_and_a_film(tmp_path: Path):
    data, scene = write_data(tmp_path)
    other = with_metadata(make_scene(), name="other")
    save_scene(other, tmp_path / "other.donerf")
    nan = {"frames": [{"transform_matrix": [[float("nan")] * 4] * 4}]}
    bad = {
        write_text(tmp_path / "notes.txt", "hello"): "nothing that can be opened",
        write_text(tmp_path / "nan.json", json.dumps(nan)): "finite numbers",
        tmp_path / "settings": "neither a data set",
        write_text(tmp_path / "cut.donerf", "cut"): "not a whole .donerf file",
    }
    with viewer(tmp_path, str(scene), "--captures", str(tmp_path), "--fps", "240") as running:
        (tmp_path / "settings").mkdir(exist_ok=True)
        running.wait_settled()
        for path, said in bad.items():
            running.drop(path)
            assert running.wait_said(said)["error"] is None
        assert running.wait_settled()["scene"] == "noise", "the last good picture stays"

        running.drop(data)
        running.wait_said("3 views of data")
        running.do("key", "bracketright")
        at_view = running.wait_for(lambda status: status["view"] == 0 and status["psnr"])
        assert 0 < at_view["psnr"] < 60

        running.do("key", "k", "key", "bracketright", "key", "k", "key", "ctrl+s")
        running.wait_said("noise-path-0001.json")
        running.do("key", "ctrl+z")
        running.wait_for(lambda status: status["key_frames"] == 1)
        running.drop(tmp_path / "noise-path-0001.json")
        running.wait_for(lambda status: status["key_frames"] == 2)

        running.do("key", "ctrl+e")
        running.wait_for(lambda status: status["film_frames"] > 0)
        running.do("key", "Escape")
        running.wait_said("the film was stopped")
        assert not list(tmp_path.glob("*film*")) and not list(tmp_path.glob(".*film*"))

        running.drop(tmp_path / "other.donerf")
        running.wait_for(lambda status: status["scene"] == "other")
        settled = running.wait_settled()
        assert settled["position"] == pytest.approx(CELL.center)
        assert settled["key_frames"] == 0


@needs_display_tools
def test_a_split_whose_divider_is_dragged_says_what_a_dropped_scene_is_for(tmp_path: Path):
    scene = write_scene(tmp_path)
    save_scene(with_metadata(make_scene(), name="other"), tmp_path / "other.donerf")
    options = ("--compare", "1", "--samples", "8", "--size", "300x200")
    with viewer(tmp_path, str(scene), *options) as running:
        running.do("key", "Tab")  # The panel lies over the left part.
        running.wait_for(lambda status: status["rival"] == "S = 1")
        running.do("mousemove", "150", "190", "mousedown", "1", "mousemove", "280", "190")
        running.do("mouseup", "1")

        # It was in the middle: had the pointer not taken it along, this would be its right.
        running.drop(tmp_path / "other.donerf", 240, 190)
        running.wait_for(lambda status: status["scene"] == "other" and status["rival"] == "S = 1")
        running.drop(scene, 295, 190)
        running.wait_for(lambda status: status["rival"] == "noise.donerf")
        assert running.status["scene"] == "other"


@needs_display_tools
def test_a_training_is_watched_and_its_checkpoints_arrive(tmp_path: Path):
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.toml").write_text("")
    (run / "log.jsonl").write_text('{"step": 100, "loss": 0.5}\n')
    save_scene(with_metadata(make_scene(), name="first"), run / "000100.donerf")
    with viewer(tmp_path, "--watch", str(run)) as running:
        assert running.wait_settled()["training"] == "training step 100, loss 0.5"
        (run / "log.jsonl").write_text('{"step": 200, "loss": 0.25}\n')
        save_scene(with_metadata(make_scene(), name="second"), run / "000200.donerf")
        running.wait_for(lambda status: status["scene"] == "second")
        assert running.wait_settled()["training"] == "training step 200, loss 0.25"


@needs_display_tools
def test_a_pose_is_copied_and_pasted_and_a_display_that_is_lost_ends_all_in_order(tmp_path: Path):
    options = ("--film-size", "320x240", "--samples", "16", "--captures", str(tmp_path))
    with viewer(tmp_path, str(write_scene(tmp_path)), *options) as running:
        start = running.wait_settled()["position"]
        running.do("key", "ctrl+c", "keydown", "w")
        running.wait_for(lambda status: status["position"] != start)
        running.do("keyup", "w", "key", "ctrl+v")
        running.wait_for(lambda status: status["position"] == start)

        running.do("key", "ctrl+e")
        running.wait_for(lambda status: status["film_frames"] > 0)
        running.server.kill()
        assert running.process.wait(SECONDS) == 2
        assert running.process.stderr is not None
        (line,) = running.process.stderr.read().splitlines()

    assert line.startswith("error: the display was lost")
    assert running.status["state"] == "failed"
    assert not list(tmp_path.glob("*film*")) and not list(tmp_path.glob(".*film*"))
