"""The sections of gpu_all.py, which runs each as a process: python benchmarks/gpu_sections.py NAME.

Each writes what it found so far after every row, so that a row that fails takes no other with it.
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import torch
from rich.console import Console

from donerf.backends.cuda.frames import FusedCell, FusedFrame, PictureKind
from donerf.backends.cuda.launch import Tiling
from donerf.backends.cuda.packing import pack_oracle, pack_shading
from donerf.config import OracleSettings, ShadingSettings
from donerf.evaluation.bare import timed
from donerf.evaluation.contenders import REFERENCE, Contender
from donerf.evaluation.cost import center_camera
from donerf.evaluation.quality import write_report
from donerf.evaluation.speed import SpeedSettings, measure_speed
from donerf.geometry.view_cell import ViewCell
from donerf.model.oracle import DepthOracle
from donerf.model.pipeline import Networks
from donerf.model.shading import ShadingNetwork
from donerf.renderer import RenderOptions, make_renderer
from donerf.scene_file import Metadata, Scene, SceneCell, load_scene, save_scene

ROOT = Path(__file__).resolve().parent.parent
COMPACT = ROOT / "assets" / "courtyard.donerf"
CUDA = torch.device("cuda")
EXACT = [Contender("cuda", "fp16"), Contender("cuda", "bf16")]
SPARING = [
    Contender("cuda", "fp16", switches)
    for switches in (("shared_oracle",), ("adaptive",), ("adaptive", "shared_oracle"))
]
EAGER = [REFERENCE, Contender("eager", "bf16")]
PICTURE = (800, 800)
HEADSET = (2 * 1440, 1600)
"""Both eyes of the headset in the paper's introduction, as one picture."""
FRAMES_FOR_GROWTH = 10_000
REPEATS = 20

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
    tests = ["test_cuda_kernels.py", "test_cuda_renderer.py", "test_eager.py"]
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder) / "results.xml"
        command = [sys.executable, "-m", "pytest", "-q", f"--junitxml={results}"]
        command += ["-n", "8"] if find_spec("xdist") is not None else []
        command += [str(ROOT / "tests" / name) for name in tests]
        subprocess.run(command, cwd=ROOT, check=False)
        suite = ElementTree.parse(results).getroot().iter("testcase")
        cases = [(case.get("name"), [child.tag for child in case]) for case in suite]
    failed = [name for name, marks in cases if "failure" in marks or "error" in marks]
    skipped = sum("skipped" in marks for _, marks in cases)
    found |= {"passed": len(cases) - len(failed) - skipped, "skipped": skipped, "failed": failed}
    found["peak_tflops"] = {"bf16": peak_tflops(torch.bfloat16), "fp16": peak_tflops(torch.half)}


def time_published(published: Path, found: Findings, write: Write) -> None:
    """The published shapes: the way they were published, and ours."""
    report(
        found, write, "published", published, (PICTURE,), (4, 1, 2, 8, 16), EAGER + EXACT + SPARING
    )


def time_headset(published: Path, found: Findings, write: Write) -> None:
    """Both eyes of a headset, with the scene that comes along and with deeper networks."""
    with tempfile.TemporaryDirectory() as folder:
        deeper = save_random_scene(Path(folder), "encoded", 8, 128)
        for name, file in (("courtyard", COMPACT), ("encoded 8x128", deeper)):
            report(found, write, name, file, (HEADSET,), (4,), [REFERENCE, *EXACT, *SPARING])


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
    compiled = [Contender("compile", "bf16"), Contender("compile", "fp32")]
    report(found, write, "published", published, (PICTURE,), (4,), [REFERENCE, *compiled])


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
    settings = SpeedSettings(contenders, sizes, samples, "cuda", frames=REPEATS, seconds=2.0)
    try:
        speed = measure_speed(file, settings, Console(stderr=True))
        found[name] = dataclasses.asdict(speed)
    except (RuntimeError, ValueError) as error:
        found[name] = {"error": str(error)}
    write()


def watch_memory(published: Path, found: Findings, write: Write) -> None:
    """Memory before and after ten thousand frames of changing views."""
    scene = load_scene(COMPACT)
    renderer = make_renderer(scene)
    camera = center_camera(scene.cells[0].cell, 400, 400)
    options = RenderOptions(samples=2)
    for _ in range(10):
        renderer.render(camera, options)
    before = memory_mb()
    _, seconds = timed(
        lambda: [renderer.render(camera, options) for _ in range(FRAMES_FOR_GROWTH)], CUDA
    )
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
                for kernel in ("place", "shade"):
                    row = {"kernel": kernel, **dataclasses.asdict(tiling)}
                    rows.append(row | time_tiling(scene, kernel, tiling))
                    print(name, rows[-1], flush=True)
                    write()


@torch.inference_mode()
def time_tiling(scene: Scene, kernel: str, tiling: Tiling) -> Findings:
    """The median of one kernel; the other has its own tiling."""
    cell = scene.cells[0]
    networks = cell.networks.copied_to(CUDA, torch.float32)
    assert networks.shading is not None
    oracle = pack_oracle(networks.oracle, cell.cell, torch.float16)
    shading = pack_shading(networks.shading, networks.compositing, torch.float16)
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


def peak_tflops(dtype: torch.dtype) -> float:
    """The rate of a large product of random numbers, by far larger than the networks'."""
    a, b = (torch.randn(8192, 8192, device=CUDA).to(dtype) for _ in range(2))
    seconds = [timed(lambda: a @ b, CUDA)[1] for _ in range(REPEATS)]
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
    "samples": time_samples,
    "pixels": time_pixels,
    "compiled": time_compiled,
    "memory": watch_memory,
    "tilings": try_tilings,
}

if __name__ == "__main__":
    main()
