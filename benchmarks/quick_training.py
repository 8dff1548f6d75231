"""How good is a scene after a few minutes of training from nothing, on this machine?

    python benchmarks/quick_training.py configs/courtyard.toml

Runs the two training scripts as a user would, with short schedules, and measures the whole time
(start-up, loading and validation included), the memory and the quality on the test views.
Writes benchmarks/results/<config>_quick_training.json.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from donerf.config import load_config
from donerf.evaluation.quality import evaluate_file, machine, write_report

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    """Train twice, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path)
    parser.add_argument("--oracle-steps", type=int, default=2500)
    parser.add_argument("--shading-steps", type=int, default=4000)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        oracle, shading = Path(folder) / "oracle", Path(folder) / "shading"
        steps = f"--oracle-training.steps={arguments.oracle_steps}"
        oracle_seconds = run("train_oracle.py", arguments.config, steps, f"--run-folder={oracle}")
        steps = f"--shading-training.steps={arguments.shading_steps}"
        shading_seconds = run(
            "train_shader.py", arguments.config, steps, f"--run-folder={shading}",
            f"--oracle-run={oracle}",
        )  # fmt: skip
        scene = shading / f"{arguments.config.stem}.donerf"
        data = load_config(arguments.config).scene.folder
        quality = evaluate_file(scene, data)["samples"]
    report = {
        "config": str(arguments.config),
        "machine": machine(),
        "steps": {"oracle": arguments.oracle_steps, "shading": arguments.shading_steps},
        "seconds": {"oracle": oracle_seconds, "shading": shading_seconds},
        "minutes": (oracle_seconds + shading_seconds) / 60,
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024,
        "split": "test",
        "samples": quality,
    }
    write_report(report, arguments.out / f"{arguments.config.stem}_quick_training.json")
    print(f"{report['minutes']:.1f} minutes, S = 4: {quality['4']['psnr']:.2f} dB")


def run(script: str, *arguments: object) -> float:
    """Seconds of a whole training process."""
    began = time.perf_counter()
    subprocess.run([sys.executable, str(ROOT / script), *map(str, arguments)], check=True)
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
