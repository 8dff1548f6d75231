"""The kernels through NVIDIA's assembler, which comes with Triton and needs no GPU."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import HAS_TRITON

ROOT = Path(__file__).resolve().parent.parent
SHARED_BYTES = 227 * 1024
"""What one program may have on a Hopper GPU."""


@pytest.mark.skipif(not HAS_TRITON, reason="needs Triton, which exists for Linux on x86-64 alone")
def test_kernels_fit_a_hopper_gpu_and_use_its_matrix_units(tmp_path: Path):
    report = tmp_path / "report.json"
    # A process of its own, since here the kernels may be interpreted.
    command = [sys.executable, str(ROOT / "benchmarks" / "kernel_report.py"), "--quick"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}

    subprocess.run([*command, "--json", str(report)], check=True, env=environment)

    kernels = json.loads(report.read_text())["kernels"]
    assert len(kernels) == 18
    assert {kernel["precision"] for kernel in kernels} == {"fp16", "fp8"}
    assert sum("grid" in kernel["network"] for kernel in kernels) == 4
    for kernel in kernels:
        assert kernel["shared_bytes"] <= SHARED_BYTES, kernel
        assert kernel["spilled_bytes"] <= (128 if "grid" in kernel["network"] else 64), kernel
        assert kernel["products"] > 0, kernel
