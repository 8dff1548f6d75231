"""Everything there is to measure on a GPU, in one run of under nine minutes.

    python benchmarks/gpu_all.py [--file PUBLISHED.donerf] [--out benchmarks/results]

Runs the tests of the kernels on the GPU, times every way to render the published network shapes and
the scene that comes along, what a headset needs, and points by a hash grid, tries other tilings of
the kernels, and looks for memory that is not given back. Writes gpu_<name>.json after every
section, so that nothing is lost when one fails or time runs out. Without --file the published
shapes have random weights: as fast, but rows that depend on what is seen (shared_oracle, adaptive)
then say nothing.

The order is that of importance. Sections run in processes of their own: a GPU that failed is of no
use to the process that it failed in. What a section does not need of its time, later ones may use.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from donerf.evaluation.quality import machine
from donerf.files import write_text

ROOT = Path(__file__).resolve().parent.parent
SECONDS = 520
"""For everything."""


@dataclass(frozen=True)
class Section:
    """One part of the run.

    seconds:  after which it is stopped
    """

    name: str
    seconds: int


SECTIONS = (
    Section("kernels", 120),
    Section("published", 110),
    Section("headset", 110),
    Section("grid", 80),
    Section("samples", 70),
    Section("memory", 40),
    Section("pixels", 50),
    Section("compiled", 80),
    Section("tilings", 200),
)


def main() -> None:
    """Run all sections one after another and write what they found."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--file", type=Path, help="a scene of the published shapes")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results")
    parser.add_argument("--only", help="names of sections, with commas between them")
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        print("nothing was measured: torch sees no CUDA device")
        return
    began = time.monotonic()
    report: dict[str, Any] = {"machine": machine() | gpu(), "sections": {}}
    slug = re.sub(r"\W+", "_", torch.cuda.get_device_name()).strip("_").lower()
    out = arguments.out / f"gpu_{slug}.json"
    for section in SECTIONS:
        if arguments.only is None or section.name in arguments.only.split(","):
            left = SECONDS - (time.monotonic() - began)
            report["sections"][section.name] = run_section(section, left, arguments.file)
            report["seconds"] = time.monotonic() - began
            write_text(out, json.dumps(report, indent=1) + "\n")
    print(f"wrote {out}")


def run_section(section: Section, seconds_left: float, file: Path | None) -> dict[str, Any]:
    """A section's findings, or why there are none; what it prints stays on the screen."""
    print(f"== {section.name}", flush=True)
    seconds = min(section.seconds, seconds_left)
    if seconds < 10:
        return {"error": "no time was left"}
    with tempfile.TemporaryDirectory() as folder:
        found = Path(folder) / "found.json"
        command = [sys.executable, str(ROOT / "benchmarks" / "gpu_sections.py"), section.name]
        command += ["--out", str(found)] + ([] if file is None else ["--file", str(file)])
        error = run_for(seconds, command)
        findings = json.loads(found.read_text()) if found.exists() else {}
    return findings if error is None else findings | {"error": error}


def run_for(seconds: float, command: list[str]) -> str | None:
    """Run a command for so long at most; returns what went wrong."""
    process = subprocess.Popen(command, start_new_session=True)
    try:
        code = process.wait(seconds)
        return f"it ended with code {code}" if code else None
    except subprocess.TimeoutExpired:
        return f"it took more than {seconds:.0f} s"
    finally:
        # With all that it started: what went on would be in the way of what is timed next.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def gpu() -> dict[str, Any]:
    """The GPU, and everything whose version matters."""
    properties = torch.cuda.get_device_properties(0)
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20)
        driver = result.stdout.strip()
    except (OSError, subprocess.SubprocessError):
        driver = None
    try:
        import triton

        version = triton.__version__
    except ImportError:
        version = None
    return {
        "driver": driver,
        "cuda": torch.version.cuda,
        "triton": version,
        "multiprocessors": properties.multi_processor_count,
        "gpu_memory_gb": round(properties.total_memory / 1e9, 1),
    }


if __name__ == "__main__":
    main()
