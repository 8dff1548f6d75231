"""The one command that measures a GPU, where there is none, and where a section fails."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from benchmarks.gpu_all import SECTIONS, Section, run_section

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


def test_a_section_without_time_is_left_out():
    assert run_section(SECTIONS[0], 3, None) == {"error": "no time was left"}


def test_all_sections_exist():
    from benchmarks.gpu_sections import SECTIONS as functions

    assert {section.name for section in SECTIONS} == functions.keys()
