"""The sweep for a GPU, in tiny on a CPU: it stops by itself, goes on, and comes to its end."""

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import gpu_sweep
from benchmarks.gpu_sweep import COUNTS, SCENES, STAGES, Stage, main, prepare
from donerf.config import load_config
from donerf.evaluation.quality_rows import read_rows
from donerf.training.losses import shading_loss

ROOT = Path(__file__).resolve().parent.parent
ONE = Stage("one", ("donerf", "nerf"), (1, 2), {})


@pytest.fixture
def one_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_sweep, "STAGES", (ONE,))
    monkeypatch.setattr(gpu_sweep, "SCENES", SCENES[:1])


@pytest.mark.usefixtures("one_stage")
def test_a_sweep_that_was_stopped_ends_as_one_that_was_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    main(["--smoke", "--out", str(whole)])
    capsys.readouterr()
    calls = []

    def loss_when_time_is_up(*given: Any) -> torch.Tensor:
        calls.append(None)
        if len(calls) == 2:
            signal.raise_signal(signal.SIGINT)
        return shading_loss(*given)

    with monkeypatch.context() as patched:
        patched.setattr("donerf.training.shading.shading_loss", loss_when_time_is_up)
        main(["--smoke", "--out", str(parts)])
    stopped = capsys.readouterr().out
    main(["--smoke", "--out", str(parts)])
    finished = capsys.readouterr().out

    assert "stopped; the same command goes on" in stopped
    assert "one: 6 of 12 steps are left" in stopped
    assert "courtyard/donerf/shading: 2 of 4 steps" in stopped
    assert "one: done" in finished
    rows = read_rows(whole / "one")
    assert {row.method for row in rows} == {"donerf", "nerf"}
    assert [row.psnr for row in read_rows(parts / "one")] == [row.psnr for row in rows]
    assert (parts / "one" / "report.html").exists()


def test_it_stops_by_itself_and_says_what_is_left(tmp_path: Path):
    script = [sys.executable, str(ROOT / "benchmarks" / "gpu_sweep.py"), "--smoke"]
    command = [*script, "--minutes", "0.0001", "--out", str(tmp_path)]

    # As a shell starts what runs in its background: with Ctrl-C ignored, which children inherit.
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    finally:
        signal.signal(signal.SIGINT, before)

    assert "stopped; the same command goes on" in result.stdout
    assert all(f"{stage.name}: " in result.stdout for stage in STAGES)
    assert "steps are left" in result.stdout


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
def test_every_stage_runs_in_tiny(
    stage: Stage,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.setattr(gpu_sweep, "STAGES", (stage,))
    main(["--smoke", "--out", str(tmp_path)])

    assert f"{stage.name}: done, see" in capsys.readouterr().out
    rows = read_rows(tmp_path / stage.name)
    assert {row.scene for row in rows} == {*SCENES}
    assert {*stage.methods} <= {row.method for row in rows}
    said_already = "this is what the config says already: see donerf"
    assert all(row.is_measured or row.note == said_already for row in rows)


def test_the_stages_are_what_the_paper_and_the_files_have(tmp_path: Path):
    sizes = {}
    for stage in STAGES:
        settings = prepare(stage, tmp_path, is_smoke=False)
        configs = [load_config(file) for file in settings.configs]
        assert [config.scene.folder.name for config in configs] == [*SCENES]
        assert all(config.scene.downscale == 1 for config in configs)
        sizes[stage.name] = {(c.shading.layers, c.shading.width) for c in configs}
        if not stage.ablations:
            assert all(config.shading_training.steps == 100_000 for config in configs)
            assert settings.samples == COUNTS

    assert sizes["reference"] == {(8, 256)}
    assert sizes["compact"] == {(4, 128)}
