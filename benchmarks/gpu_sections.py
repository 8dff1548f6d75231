"""The sections of gpu_all.py, which runs each as a process: python benchmarks/gpu_sections.py NAME.

Each writes what it found so far after every row, so that a row that fails takes no other with it.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import re
import statistics
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from rich.console import Console

from donerf.backends.cuda.eight_bits import E4M3, choose_scales
from donerf.backends.cuda.frames import FusedCell, FusedFrame, PictureKind
from donerf.backends.cuda.launch import Tiling
from donerf.backends.cuda.packing import pack_oracle, pack_shading
from donerf.config import OracleSettings, ShadingSettings
from donerf.evaluation.bare import timed
from donerf.evaluation.contenders import REFERENCE, Contender
from donerf.evaluation.cost import center_camera
from donerf.evaluation.quality import write_report
from donerf.evaluation.speed import SpeedSettings, measure_speed
from donerf.geometry.camera import Camera
from donerf.geometry.view_cell import ViewCell
from donerf.model.oracle import DepthOracle
from donerf.model.pipeline import Networks
from donerf.model.shading import ShadingNetwork
from donerf.precision import Precision
from donerf.renderer import RenderOptions, make_renderer
from donerf.scene_file import Metadata, Scene, SceneCell, load_scene, save_scene

ROOT = Path(__file__).resolve().parent.parent
COMPACT = ROOT / "assets" / "courtyard.donerf"
COMPACT_GRID = ROOT / "assets" / "courtyard_grid.donerf"
CUDA = torch.device("cuda")
EXACT = [Contender("cuda", "fp16"), Contender("cuda", "bf16"), Contender("cuda", "fp8")]
ALL = ("adaptive", "shared_oracle")
SPARING = [
    *(Contender("cuda", "fp16", switches) for switches in (("shared_oracle",), ("adaptive",), ALL)),
    Contender("cuda", "fp8", ALL),
]
EAGER = [REFERENCE, Contender("eager", "bf16")]
PICTURE = (800, 800)
HEADSET = (2 * 1440, 1600)
"""Both eyes of the headset in the paper's introduction, as one picture."""
FRAMES_FOR_GROWTH = 10_000
REPEATS = 20
SECONDS = 1.0
"""After which a slow row has enough."""
TESTS = (
    "test_cuda_kernels.py",
    "test_cuda_sharing.py",
    "test_cuda_grid.py",
    "test_cuda_renderer.py",
    "test_eager.py",
)
TEST_SECONDS = 95
TEST_RESULT = re.compile(
    r"^(?P<name>\S+::.*?) (?P<result>PASSED|FAILED|SKIPPED|ERROR)"
    r"|^\[gw\d+\].*? (?P<worker_result>PASSED|FAILED|SKIPPED|ERROR) (?P<worker_name>\S+::.*)$",
    re.MULTILINE,
)
"""A line of `pytest -v`, without and with workers."""

RANDOM_CELL = ViewCell((0.0, 0.0, 1.5), (1.0, 1.0, 1.0), 0.9, (0.5, 20.0), (-0.1, 19.0))
TILINGS = (
    Tiling(128, 8, 3),
    Tiling(64, 4, 3),
    Tiling(64, 4, 3, resident=True),
    Tiling(64, 4, 2),
    Tiling(128, 8, 2),
    Tiling(128, 8, 3, resident=True),
    Tiling(128, 4, 3),
    Tiling(256, 8, 3),
)
TILED: tuple[tuple[str, Precision], ...] = (("place", "fp16"), ("shade", "fp16"), ("shade", "fp8"))
"""Kernels whose tilings are tried; the first one's layers are never in 8 bits."""

Findings = dict[str, Any]
Write = Callable[[], None]


def main() -> None:
    """Run one section."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("section", choices=SECTIONS)
    parser.add_argument("--file", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    found: Findings = {}
    with tempfile.TemporaryDirectory() as folder:
        published = arguments.file or save_random_scene(Path(folder), "points", 8, 256)
        SECTIONS[arguments.section](published, found, lambda: write_report(found, arguments.out))
    write_report(found, arguments.out)


def check_kernels(published: Path, found: Findings, write: Write) -> None:
    """The tests that interpret the kernels elsewhere, and those that need a GPU, on this one."""
    found["peak_tflops"] = {
        "bf16": peak_tflops(torch.bfloat16),
        "fp16": peak_tflops(torch.half),
        "fp8": peak_fp8_tflops(),
    }
    write()
    command = [sys.executable, "-m", "pytest", "-v", "--color=no"]
    command += ["-n", "8"] if find_spec("xdist") is not None else []
    command += [str(ROOT / "tests" / name) for name in TESTS]
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        with log.open("w") as out:
            try:
                # Unbuffered, so that the log says how far it came.
                environment = os.environ | {"PYTHONUNBUFFERED": "1"}
                subprocess.run(
                    command, cwd=ROOT, env=environment, stdout=out, stderr=out,
                    timeout=TEST_SECONDS, check=False,
                )  # fmt: skip
                found["all_tests_ran"] = True
            except subprocess.TimeoutExpired:
                found["all_tests_ran"] = False
        text = log.read_text()
    print(text[-4000:], flush=True)
    found |= results_of_tests(text)
    if found["passed"] == 0:
        found["error"] = f"no test passed: {text[-500:]}"


def results_of_tests(text: str) -> Findings:
    """What `pytest -v` said about each test, as far as it came."""
    results = {
        match["name"] or match["worker_name"]: match["result"] or match["worker_result"]
        for match in TEST_RESULT.finditer(text)
    }
    counts = Counter(results.values())
    failed = [name for name, result in results.items() if result in ("FAILED", "ERROR")]
    return {"passed": counts["PASSED"], "skipped": counts["SKIPPED"], "failed": failed}


def time_published(published: Path, found: Findings, write: Write) -> None:
    """The published shapes: the way they were published, and ours."""
    everyone = EAGER + EXACT + SPARING
    # First what matters most, by itself: a section that takes too long keeps what is written.
    report(found, write, "published, 4 samples", published, (PICTURE,), (4,), everyone)
    report(found, write, "published", published, (PICTURE,), (1, 2, 8, 16), everyone)


def time_headset(published: Path, found: Findings, write: Write) -> None:
    """Both eyes of a headset, with the scene that comes along and with deeper networks."""
    with tempfile.TemporaryDirectory() as folder:
        deeper = save_random_scene(Path(folder), "encoded", 8, 128)
        files = (
            ("courtyard", COMPACT),
            ("courtyard, grid", COMPACT_GRID),
            ("encoded 8x128", deeper),
        )
        for name, file in files:
            report(found, write, name, file, (HEADSET,), (4,), [REFERENCE, *EXACT, *SPARING])


def time_grid(published: Path, found: Findings, write: Write) -> None:
    """A hash grid beside the sines of points, in their place, and not at all."""
    everyone = [*EAGER, *EXACT, *SPARING]
    with tempfile.TemporaryDirectory() as folder:
        alone, beside = (save_grid_scene(Path(folder), octaves) for octaves in (0, 10))
        files = (
            ("courtyard, grid", COMPACT_GRID),
            ("grid", alone),
            ("grid, sines", beside),
            ("sines", COMPACT),
        )
        for name, file in files:
            report(found, write, name, file, (PICTURE,), (4,), everyone)


def time_samples(published: Path, found: Findings, write: Write) -> None:
    """How time grows with the samples per ray."""
    counts = tuple(range(1, 17))
    for name, file in (("published", published), ("courtyard", COMPACT)):
        report(found, write, name, file, (PICTURE,), counts, [REFERENCE, EXACT[0]])


def time_pixels(published: Path, found: Findings, write: Write) -> None:
    """How time grows with the pixels."""
    sizes = tuple((side, side) for side in (200, 400, 800, 1200, 1600))
    for name, file in (("published", published), ("courtyard", COMPACT)):
        report(found, write, name, file, sizes, (4,), [REFERENCE, EXACT[0]])


def time_compiled(published: Path, found: Findings, write: Write) -> None:
    """What torch.compile makes of the plain pipeline."""
    precisions: tuple[Precision, ...] = ("bf16", "fp32")
    for precision in precisions:
        compiled = [REFERENCE, Contender("compile", precision)]
        report(
            found, write, f"published, compiled {precision}", published, (PICTURE,), (4,), compiled
        )


def report(
    found: Findings,
    write: Write,
    name: str,
    file: Path,
    sizes: tuple[tuple[int, int], ...],
    samples: tuple[int, ...],
    contenders: list[Contender],
) -> None:
    """Time some contenders on a file as `donerf benchmark speed` does."""
    settings = SpeedSettings(contenders, sizes, samples, "cuda", frames=REPEATS, seconds=SECONDS)
    try:
        speed = measure_speed(file, settings, Console(stderr=True))
        found[name] = dataclasses.asdict(speed)
    # Whatever one report fails of, the next one may not.
    except Exception as error:
        found[name] = {"error": f"{type(error).__name__}: {error}"}
    write()


def watch_memory(published: Path, found: Findings, write: Write) -> None:
    """Memory before and after ten thousand frames of changing views."""
    scene = load_scene(COMPACT)
    renderer = make_renderer(scene)
    camera = center_camera(scene.cells[0].cell, 400, 400)
    options = RenderOptions(samples=2)
    cameras = [Camera(np.array(pose), camera.intrinsics) for pose in scene.metadata.test_poses]

    def render(frames: int) -> None:
        for i in range(frames):
            renderer.render(cameras[i % len(cameras)], options)

    render(10)
    before = memory_mb()
    _, seconds = timed(lambda: render(FRAMES_FOR_GROWTH), CUDA)
    found |= {"backend": renderer.info.backend, "frames": FRAMES_FOR_GROWTH, "seconds": seconds}
    found |= {"mb_before": before, "mb_after": memory_mb()}


def try_tilings(published: Path, found: Findings, write: Write) -> None:
    """Each kernel with other tilings than launch.py takes: milliseconds, 800x800, four samples."""
    with tempfile.TemporaryDirectory() as folder:
        deeper = save_random_scene(Path(folder), "encoded", 8, 128)
        files = {"published": published, "courtyard": COMPACT, "encoded 8x128": deeper}
        for name, file in files.items():
            rows: list[Findings] = found.setdefault(name, [])
            scene = load_scene(file)
            for tiling in TILINGS:
                for kernel, precision in TILED:
                    row = {"kernel": kernel, "precision": precision, **dataclasses.asdict(tiling)}
                    rows.append(row | time_tiling(scene, kernel, precision, tiling))
                    print(name, rows[-1], flush=True)
                    write()


@torch.inference_mode()
def time_tiling(scene: Scene, kernel: str, precision: Precision, tiling: Tiling) -> Findings:
    """The median of one kernel; the other has its own tiling."""
    cell = scene.cells[0]
    networks = cell.networks.copied_to(CUDA, torch.float32)
    assert networks.shading is not None
    oracle = pack_oracle(networks.oracle, cell.cell, torch.float16)
    scales = choose_scales(cell.cell, networks) if precision == "fp8" else None
    shading = pack_shading(networks.shading, networks.compositing, torch.float16, scales)
    if tiling.resident and (kernel == "place" or shading.shape.halves == 2):
        return {"error": "for narrow layers that are used more than once"}
    kind = PictureKind(*PICTURE, 4, 0, False, False, False, PICTURE[0] * PICTURE[1])
    try:
        fused = FusedCell(cell.cell, oracle, shading)
        frame = FusedFrame(kind, fused, CUDA)
        setattr(frame, f"{kernel}_tiling", tiling)
        frame.look(center_camera(cell.cell, *PICTURE), (0.0, 0.0))
        times = [frame.draw().times() for _ in range(REPEATS + 3)][3:]
    # Whatever a compiler raises for a tiling that does not fit.
    except Exception as error:
        return {"error": str(error).partition("\n")[0]}
    ms = [time.oracle_ms if kernel == "place" else time.shading_ms for time in times]
    return {"ms": statistics.median(ms)}


def save_random_scene(
    folder: Path, kind: Literal["points", "encoded"], layers: int, width: int
) -> Path:
    """A file with networks of these shapes that were never trained: as fast, but no picture."""
    torch.manual_seed(0)
    octaves = 14 if kind == "points" else 10  # as in the published files
    networks = Networks(
        DepthOracle(OracleSettings(input=kind, layers=layers, width=width)),
        ShadingNetwork(ShadingSettings(layers=layers, width=width, position_frequencies=octaves)),
    )
    path = folder / f"{kind}_{layers}x{width}.donerf"
    name = f"random {layers}x{width}"
    save_scene(Scene([SceneCell(RANDOM_CELL, networks)], Metadata(name=name)), path)
    return path


def save_grid_scene(folder: Path, octaves: int) -> Path:
    """The courtyard's oracle, with a shading network of its size whose points have a hash grid.

    A trained oracle, since neighbors whose samples lie on a surface read the same rows. The other
    numbers are random, and so large that a wrong one shows in the likeness to the reference.
    """
    torch.manual_seed(0)
    scene = load_scene(COMPACT)
    cell = scene.cells[0]
    assert cell.networks.shading is not None
    change = {"encoding": "hash-grid", "position_frequencies": octaves}
    settings = cell.networks.shading.settings.model_copy(update=change)
    shading = ShadingNetwork(settings).requires_grad_(False)
    assert shading.grid is not None
    for parameter in shading.parameters():
        parameter.mul_(2)
    for table in shading.grid.tables:
        table.normal_()
    networks = dataclasses.replace(cell.networks, shading=shading)
    path = folder / f"grid_{octaves}.donerf"
    save_scene(Scene([SceneCell(cell.cell, networks)], scene.metadata), path)
    return path


def peak_tflops(dtype: torch.dtype) -> float:
    """The rate of a large product of random numbers, by far larger than the networks'."""
    a, b = (torch.randn(8192, 8192, device=CUDA).to(dtype) for _ in range(2))
    seconds = [timed(lambda: a @ b, CUDA)[1] for _ in range(REPEATS)]
    return 2e-12 * 8192**3 / statistics.median(seconds[3:])


def peak_fp8_tflops() -> float | str:
    """The same of e4m3 numbers, or why it is not known: torch's product of these is unfinished."""
    a, b = (torch.randn(8192, 8192, device=CUDA).to(E4M3) for _ in range(2))
    one = torch.ones((), device=CUDA)
    multiply = torch.ops.aten._scaled_mm
    try:
        seconds = [
            timed(lambda: multiply(a, b.T, one, one, out_dtype=torch.bfloat16), CUDA)[1]
            for _ in range(REPEATS)
        ]
    except (RuntimeError, TypeError) as error:
        return str(error).partition("\n")[0]
    return 2e-12 * 8192**3 / statistics.median(seconds[3:])


def memory_mb() -> dict[str, float]:
    """What torch has given out, what it holds, and what the whole GPU has in use."""
    torch.cuda.synchronize()
    free, total = torch.cuda.mem_get_info()
    return {
        "allocated": torch.cuda.memory_allocated() / 1e6,
        "reserved": torch.cuda.memory_reserved() / 1e6,
        "in_use": (total - free) / 1e6,
    }


SECTIONS: dict[str, Callable[[Path, Findings, Write], None]] = {
    "kernels": check_kernels,
    "published": time_published,
    "headset": time_headset,
    "grid": time_grid,
    "samples": time_samples,
    "memory": watch_memory,
    "pixels": time_pixels,
    "compiled": time_compiled,
    "tilings": try_tilings,
}

if __name__ == "__main__":
    main()
