"""`donerf doctor`: what it says of what works, and of each thing that is broken on purpose."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from donerf.cli import run
from viewer import doctor
from viewer.doctor import Check, examine, is_writable, package_fault, probe_gl, window_checks

GOOD = {"window": None, "egl": None, "gamepads": [], "interop": None}
GOOD |= {"vendor": "NVIDIA Corporation", "renderer": "NVIDIA H200", "version": "4.6"}
MESA = GOOD | {"vendor": "Mesa", "renderer": "llvmpipe (LLVM 15)", "interop": "no CUDA"}
NO_WINDOW = MESA | {"window": "there is no display"}


def verdicts(found: dict, is_display_there: bool) -> dict[str, str]:
    return {check.name: check.verdict for check in window_checks(found, is_display_there)}


def test_a_machine_with_everything_is_well():
    assert verdicts(GOOD, True) == {"window": "ok", "interop": "ok"}


def test_software_and_copies_are_no_fault():
    assert verdicts(MESA, True) == {"window": "ok", "OpenGL": "note", "interop": "note"}


def test_without_a_display_there_is_no_window_and_nothing_is_broken():
    assert verdicts(NO_WINDOW, False) == {"window": "note", "OpenGL": "note", "interop": "note"}


def test_a_display_without_opengl_is_broken_and_the_cure_is_named():
    (check, *_) = window_checks(NO_WINDOW | {"egl": "no library"}, True)

    assert check.verdict == "broken"
    assert "there is no display" in check.found
    assert "apt install" in check.fix


def test_a_gamepad_is_named():
    checks = list(window_checks(GOOD | {"gamepads": ["Pad"]}, True))

    assert checks[-1] == Check("gamepad", "ok", "Pad")


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("import os; os.kill(os.getpid(), 11)", "crashed (signal 11)"),
        ("raise SystemExit('no library')", "no library"),
        ("print('hello')", "no reason given"),
        ("pass", "no reason given"),
    ],
)
def test_a_driver_that_crashes_or_says_nonsense_is_told(script: str, said: str):
    found, fault = probe_gl([sys.executable, "-c", script])

    assert found == {}
    assert fault is not None and said in fault


def test_a_driver_that_hangs_is_told(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(doctor, "_GL_SECONDS", 0.2)
    _, fault = probe_gl([sys.executable, "-c", "import time; time.sleep(60)"])

    assert fault is not None and "did not answer" in fault


@pytest.mark.parametrize(
    ("need", "verdict"),
    [
        ("pytest>=9,<10", None),
        ("pytest<10,>=9; python_version>'3'", None),
        ("pytest>=99", "note"),
        ("pytest<1.0", "note"),
        ("no-such-package>=1,<2", "broken"),
    ],
)
def test_packages_are_held_to_their_bounds(need: str, verdict: str | None):
    fault = package_fault(need)

    assert (fault.verdict if fault is not None else None) == verdict
    if fault is not None:
        assert fault.fix == f"pip install '{need}'"


def test_a_folder_that_is_not_there_yet_is_as_writable_as_the_one_it_would_be_in(tmp_path: Path):
    assert is_writable(tmp_path / "a/b/c")


def environment_without_display() -> dict[str, str]:
    display = {"DISPLAY", "WAYLAND_DISPLAY", "XDG_RUNTIME_DIR"}
    return {name: value for name, value in os.environ.items() if name not in display}


def test_the_command_examines_this_machine_and_prints_json(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    code = run(["doctor", "--json"])
    report = json.loads(capsys.readouterr().out)
    names = [check["name"] for check in report["checks"]]

    assert code == 0, report
    assert report["ok"]
    assert {"system", "torch", "CUDA", "window", "mp4 film", "scene"} <= set(names)
    assert all(set(check) == {"name", "verdict", "found", "fix"} for check in report["checks"])


def test_a_missing_encoder_is_broken_and_the_exit_code_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(tmp_path / "nowhere"))
    monkeypatch.setattr(doctor, "_CHECKS", (("films", doctor._check_codecs),))

    assert doctor.doctor_command(as_json=False) == 1
    said = capsys.readouterr().out
    assert "broken  mp4 film: there is no encoder" in said
    assert "ok      gif film" in said


def test_a_check_that_fails_itself_is_a_finding(monkeypatch: pytest.MonkeyPatch):
    def fail():
        raise RuntimeError("surprise")
        yield

    monkeypatch.setattr(doctor, "_CHECKS", (("thing", fail),))

    assert list(examine()) == [Check("thing", "broken", "RuntimeError: surprise")]


def test_the_probe_answers_without_a_display():
    done = subprocess.run(
        [sys.executable, "-m", "viewer.gl_probe"],
        cwd=Path(__file__).resolve().parent.parent,
        env=environment_without_display(),
        capture_output=True,
        text=True,
    )
    found = json.loads(done.stdout)

    assert found["window"] is not None
    assert found["egl"] is None or "vendor" not in found
