"""The one command that measures a GPU, where there is none, and where a section fails."""

import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from benchmarks.gpu_all import SECTIONS, Section, run_for, run_section
from benchmarks.gpu_sections import results_of_tests, save_grid_scene
from donerf import RenderOptions, load_scene, make_renderer
from donerf.backends.cuda.renderer import CudaRenderer
from donerf.evaluation.cost import center_camera

ROOT = Path(__file__).resolve().parent.parent
without_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU to measure")


@without_gpu
def test_without_a_gpu_it_says_so_in_one_sentence_and_writes_nothing(tmp_path: Path):
    command = [sys.executable, str(ROOT / "benchmarks" / "gpu_all.py"), "--out", str(tmp_path)]

    result = subprocess.run(command, capture_output=True, text=True, check=True)

    assert result.stdout == "nothing was measured: torch sees no CUDA device\n"
    assert result.stderr == ""
    assert not list(tmp_path.iterdir())


@without_gpu
def test_a_section_that_fails_is_noted():
    assert "ended with code" in run_section(Section("tilings", 60), 60, None)["error"]


def test_what_a_command_started_ends_with_it(tmp_path: Path):
    pid = tmp_path / "pid"
    child = "import os, time; open({!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    script = (
        "import subprocess, sys, time;"
        f"subprocess.Popen([sys.executable, '-c', {child.format(str(pid))!r}]); time.sleep(60)"
    )

    said = run_for(2, [sys.executable, "-c", script])

    assert said == "it took more than 2 s"
    status = Path(f"/proc/{pid.read_text()}/status")
    deadline = time.monotonic() + 5
    while status.exists() and "zombie" not in status.read_text():
        assert time.monotonic() < deadline, "it goes on"
        time.sleep(0.05)


def test_results_of_tests_by_workers_are_read_too():
    text = (
        "[gw1] [ 33%] PASSED tests/test_some.py::test_passing[a b]\n"
        "tests/test_some.py::test_that_goes_on \n"
        "[gw0] [ 66%] FAILED tests/test_some.py::test_failing[64-FAILED]\n"
        "[gw0] [100%] SKIPPED tests/test_some.py::test_skipped\n"
        "FAILED tests/test_some.py::test_failing[64-FAILED] - ValueError\n"
    )

    found = results_of_tests(text)

    failed = ["tests/test_some.py::test_failing[64-FAILED]"]
    assert found == {"passed": 1, "skipped": 1, "failed": failed}


def test_results_of_tests_are_read_as_they_come(tmp_path: Path):
    (tmp_path / "test_some.py").write_text(
        "import pytest\n"
        "@pytest.mark.parametrize('name', ['a', 'b - c'])\n"
        "def test_passing(name): pass\n"
        "def test_failing(): raise ValueError\n"
        "def test_skipped(): pytest.skip()\n"
    )
    command = [sys.executable, "-m", "pytest", "-v", "--color=no", "test_some.py"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    found = results_of_tests(result.stdout)

    assert (found["passed"], found["skipped"]) == (2, 1)
    assert [name.partition("::")[2] for name in found["failed"]] == ["test_failing"]


def test_a_section_without_time_is_left_out():
    assert run_section(SECTIONS[0], 3, None) == {"error": "no time was left"}


def test_all_sections_exist():
    from benchmarks.gpu_sections import SECTIONS as functions

    assert {section.name for section in SECTIONS} == functions.keys()


@pytest.mark.parametrize("octaves", [0, 10])
def test_the_grids_that_are_timed_are_served_and_are_the_reference(
    kernel_device: torch.device, tmp_path: Path, octaves: int
):
    scene = load_scene(save_grid_scene(tmp_path, octaves))
    seen = center_camera(scene.cells[0].cell, 16, 8)
    options = RenderOptions(samples=2, shared_oracle=False)
    fused = CudaRenderer(scene, str(kernel_device))

    frame = fused.render(seen, options)

    reference = make_renderer(scene, "cpu", "fp32", "eager").render(seen, options)
    assert frame is not None and reference is not None
    assert fused.info.backend == "cuda"
    of_pixels = reference.image[..., :3].float().flatten(0, 1)
    assert of_pixels.std(0).min() > 5, "a gray picture would hide mistakes"
    # The products have 11 bits, a byte has 8: it may fall to the neighboring value.
    assert (frame.image.cpu().int() - reference.image.int()).abs().max() <= 2
