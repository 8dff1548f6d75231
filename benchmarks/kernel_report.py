"""Compile the CUDA kernels for a Hopper GPU, without one, and say what became of them.

    python benchmarks/kernel_report.py [--quick] [--json FILE]

Needs Triton, which brings NVIDIA's assembler along. For each network shape: registers a thread,
bytes that did not fit them (spilled), shared memory, tensor-core products, and instructions beside
one product of the hidden layers' loop. Nothing here is a time.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, cast

os.environ["TRITON_INTERPRET"] = "0"  # Read when triton is first imported.

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.runtime import driver

from donerf.backends.cuda import launch
from donerf.backends.cuda.packing import pack_oracle, pack_shading
from donerf.backends.cuda.place import place_kernel
from donerf.backends.cuda.shade import shade_kernel
from donerf.backends.cuda.view import SIZE
from donerf.config import OracleSettings, ShadingSettings
from donerf.files import write_text
from donerf.geometry.view_cell import ViewCell
from donerf.model.oracle import DepthOracle
from donerf.model.shading import ShadingNetwork
from donerf.precision import Precision

CELL = ViewCell((0.0, 0.0, 0.0), (1.0, 1.0, 1.0), 0.9, (0.5, 20.0), (-0.1, 19.0))
NETWORKS: tuple[tuple[Literal["points", "encoded"], int, int], ...] = (
    ("points", 8, 256),
    ("encoded", 4, 128),
    ("encoded", 8, 256),
    ("encoded", 8, 128),
    ("encoded", 4, 64),
)
"""Oracle input, layers and width of both networks: the published shapes, those of the scenes that
come along, and others."""
GRIDS = ((3, 64, 0, 4), (4, 128, 0, 2), (4, 128, 10, 2), (8, 256, 14, 2))
"""Shading networks whose points have a hash grid of eight levels: layers, width, frequencies of the
sines beside it, features a level; first that of the scenes that come along."""
RAYS, WIDTH = 4096, 64
PRODUCT = r"\b[HQ]GMMA"
"""What the assembler calls products of 16-bit and of 8-bit numbers by a warpgroup."""
TOOLS = Path(triton.__file__).parent / "backends" / "nvidia" / "bin"


class Hopper:
    """Stands where Triton looks for a GPU; compiling asks no more of it."""

    def get_current_device(self) -> int:
        """The only one."""
        return 0

    def get_current_stream(self, device: int) -> int:
        """Never used."""
        return 0

    def get_current_target(self) -> GPUTarget:
        """Compute capability 9.0, warps of 32 threads."""
        return GPUTarget("cuda", 90, 32)


@dataclass(frozen=True)
class Compiled:
    """What the compiler made of one kernel for one network shape."""

    kernel: str
    network: str
    precision: str
    rows: int
    registers: int
    spilled_bytes: int
    shared_bytes: int
    products: int
    loop_instructions: int | None


def main() -> None:
    """Compile everything, print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--quick",
        action="store_true",
        help="the first two networks and the first grid, without bf16",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the table here")
    arguments = parser.parse_args()
    driver.set_active(cast(Any, Hopper()))
    quick = arguments.quick
    precisions: tuple[Precision, ...] = ("fp16", "fp8") if quick else ("fp16", "bf16", "fp8")
    report = [
        row
        for precision in precisions
        for network in (NETWORKS[:2] if quick else NETWORKS)
        for row in compile_both(*network, precision)
    ]
    report += [
        row
        for precision in precisions
        for grid in (GRIDS[:1] if quick else GRIDS)
        for row in compile_grid(*grid, precision)
    ]
    for row in report:
        print("  ".join(f"{key}={value}" for key, value in asdict(row).items()))
    if arguments.json is not None:
        rows = {"triton": triton.__version__, "kernels": [asdict(row) for row in report]}
        write_text(arguments.json, json.dumps(rows, indent=1) + "\n")


def compile_both(
    kind: Literal["points", "encoded"], layers: int, width: int, precision: Precision
) -> Iterator[Compiled]:
    """Both kernels for one network shape, as the renderer launches them."""
    name = f"{kind} {layers}x{width}"
    # With fp8 the oracle is in 16 bits too.
    if precision != "fp8":
        oracle = DepthOracle(OracleSettings(input=kind, layers=layers, width=width))
        yield from compile_place(oracle, name, precision)
    octaves = 14 if kind == "points" else 10  # as in the published files
    settings = ShadingSettings(layers=layers, width=width, position_frequencies=octaves)
    yield from compile_shade(ShadingNetwork(settings), name, precision)


def compile_grid(
    layers: int, width: int, octaves: int, features: int, precision: Precision
) -> Iterator[Compiled]:
    """The second kernel for points that have a hash grid; the oracle knows nothing of it."""
    settings = ShadingSettings(
        layers=layers,
        width=width,
        position_frequencies=octaves,
        encoding="hash-grid",
        grid_features=features,
    )
    columns = settings.grid_levels * features
    name = f"grid of {columns} features, {octaves} frequencies, {layers}x{width}"
    yield from compile_shade(ShadingNetwork(settings), name, precision)


def compile_place(oracle: DepthOracle, name: str, precision: Precision) -> Iterator[Compiled]:
    """The first kernel: exact, and with the oracle shared and samples by need."""
    view, pixels, index = torch.zeros(SIZE), range(RAYS), torch.zeros(RAYS + 1, dtype=torch.int32)
    packed = pack_oracle(oracle, CELL, half_of(precision))
    tiling = launch.place_tiling(packed.shape)
    for which, asking, depths in (
        ("place", launch.Pixels(pixels, WIDTH), exact_depths()),
        ("place blocks", launch.Pixels(pixels, WIDTH, is_blocks=True), sparing_depths()),
        ("place listed", launch.Pixels(pixels, WIDTH, index), sparing_depths()),
    ):
        with only_compiling(place_kernel) as compiled:
            launch.launch_place(packed, view, asking, depths, tiling)
        yield describe(which, name, precision, tiling.rows, compiled[0])


def compile_shade(network: ShadingNetwork, name: str, precision: Precision) -> Iterator[Compiled]:
    """The second kernel: exact, and with the oracle shared and samples by need."""
    # Numbers in memory: any compile to the same code.
    scales = (1.0,) * len(network.trunk) if precision == "fp8" else None
    shading = pack_shading(network, "last-opaque", half_of(precision), scales)
    tiling = launch.shade_tiling(shading)
    view, picture = torch.zeros(SIZE), launch.Picture(WIDTH, torch.zeros(RAYS, dtype=torch.int32))
    for which, depths in (("shade", exact_depths()), ("shade listed", sparing_depths())):
        with only_compiling(shade_kernel) as compiled:
            launch.launch_shade(shading, view, range(RAYS), depths, picture, tiling)
        yield describe(which, name, precision, tiling.rows, compiled[0])


def half_of(precision: Precision) -> torch.dtype:
    """What a network has whose numbers are not in 8 bits."""
    return torch.bfloat16 if precision == "bf16" else torch.float16


def exact_depths() -> launch.Depths:
    """Four samples a ray, and an answer of its own."""
    return launch.Depths.of(launch.Rule(4, 1), RAYS, torch.device("cpu"))


def sparing_depths() -> launch.Depths:
    """Shared answers, and samples by need."""
    rule, index = launch.Rule(8, 1, *torch.zeros(2, 16)), torch.zeros(RAYS + 1, dtype=torch.int32)
    depths = launch.Depths.of(rule, RAYS, torch.device("cpu"), RAYS)
    return replace(depths, sources=index[1:], moves=torch.zeros(4, RAYS), order=index[1:])


@contextmanager
def only_compiling(kernel: Any) -> Iterator[list[Any]]:
    """Let launches of a kernel end when it is compiled; gives what the compiler returned."""
    compiled: list[Any] = []
    run = kernel.run
    kernel.run = lambda *args, **options: compiled.append(run(*args, **options | {"warmup": True}))
    try:
        yield compiled
    finally:
        del kernel.run


def describe(kernel: str, network: str, precision: Precision, rows: int, compiled: Any) -> Compiled:
    """Read the machine code."""
    with tempfile.TemporaryDirectory() as folder:
        cubin = Path(folder) / "kernel.cubin"
        cubin.write_bytes(compiled.asm["cubin"])
        usage = run_tool("cuobjdump", "-res-usage", str(cubin))
        code = run_tool("cuobjdump", "-sass", str(cubin))
    registers, stack = re.search(r"REG:(\d+) STACK:(\d+)", usage).groups()  # type: ignore[union-attr]
    return Compiled(
        kernel=kernel,
        network=network,
        precision=precision,
        rows=rows,
        registers=int(registers),
        spilled_bytes=int(stack),
        shared_bytes=compiled.metadata.shared,
        products=len(re.findall(PRODUCT, code)),
        loop_instructions=hidden_loop(code),
    )


def hidden_loop(code: str) -> int | None:
    """Instructions in the smallest loop with products; None when the layers are unrolled."""
    lines = re.findall(r"^\s+/\*([0-9a-f]{4,})\*/\s+(.*?);", code, re.MULTILINE)
    instructions = [(int(address, 16), text) for address, text in lines]
    sizes = []
    for address, text in instructions:
        target = re.search(r"\bBRA\b.*?0x([0-9a-f]+)", text)
        if target is not None and int(target[1], 16) < address:
            body = [text for at, text in instructions if int(target[1], 16) <= at <= address]
            if any(re.search(PRODUCT, text) for text in body):
                sizes.append(len(body))
    return min(sizes, default=None)


def run_tool(name: str, *arguments: str) -> str:
    """What one of NVIDIA's tools prints; they come with Triton."""
    command = [str(TOOLS / name), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


if __name__ == "__main__":
    main()
