"""The `donerf` command: thin, one function a sub-command.

Whatever is heavy is imported inside the functions, so that `donerf --help` answers at once. This is
the only file of the package that may import `viewer`.
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from donerf.command import run_as_command
from donerf.command_line import call_with_command_line, read_command_line

HELP = """\
usage: donerf COMMAND [OPTION ...]

Fly through neural scenes, train them and measure them.

commands:
{commands}

examples:
  donerf view                                 fly through the scene that comes with the program
  donerf view --headless --out fly.mp4        the same as a film, without a display
  donerf info scene.donerf                    what a scene file holds
  donerf demo-data data/demo                  a small scene to train on, made in seconds
  donerf render-scene room.blend --out data/room   a data set from your own Blender file
  donerf view-data data/room                  look at it
  donerf train oracle scene.toml              the first of the two trainings
  donerf evaluate scene.donerf --data data/mine --samples 1,4,16
  donerf benchmark speed scene.donerf         how fast it renders here, in every way there is
  donerf doctor                               what works here, and what mends the rest

`donerf COMMAND --help` says more about each."""

TRAIN_HELP = """\
usage: donerf train oracle|shader|joint|nerf CONFIG [OPTION ...]
       donerf train SCENE.json [OPTION ...]

First the oracle, which says where on a ray its few samples belong; then, with the same config, the
shading network, which says what color they have. Ctrl-C saves, --resume goes on. `joint` goes on
with both of them together, and writes a scene file of its own. `nerf` trains the baseline, which
knows no oracle and no depth.

A scene.json lists the data sets of several view cells: both networks of each are trained in turn,
and after an interruption the same command goes on.

examples:
  donerf train oracle configs/courtyard_small.toml
  donerf train shader configs/courtyard_small.toml
  donerf train joint configs/courtyard_small.toml
  donerf train data/gallery/scene.json
  donerf train oracle configs/courtyard_small.toml --oracle.width 256
  donerf train oracle configs/courtyard_small.toml --help      all settings with their defaults"""

BENCHMARK_HELP = """\
usage: donerf benchmark quality CONFIG ... --out DIR [OPTION ...]
       donerf benchmark speed FILE [OPTION ...]

`quality` trains what is missing of our method, its alternatives and NeRF, measures all of them on
the test views, and writes tables, plots and a report.

`speed` times every way to render a scene, in one run and in turn: plain PyTorch as published, in
bf16 and compiled, each backend with each of its options, onnxruntime where it is installed.

examples:
  donerf benchmark quality configs/courtyard_small.toml --out out/quality --minutes 1
  donerf benchmark speed assets/courtyard_grid.donerf
  donerf benchmark speed scene.donerf --sizes 400x400,800x800 --samples 2,4 --json out.json
  donerf benchmark speed scene.donerf --backends eager,onnxruntime --data data/mine
  donerf benchmark speed --help                                  all options"""

# Without a metavar, `--help` would show the choices of an optional path as "{None}|PATH".
File = Annotated[Path | None, arg(metavar="FILE")]
Folder = Annotated[Path | None, arg(metavar="DIR")]
SceneFile = Positional[Annotated[Path, arg(metavar="FILE")]]
DataFolder = Positional[Annotated[Path, arg(metavar="DIR")]]
Size = Annotated[tuple[int, int], arg(metavar="WIDTH HEIGHT")]
Views = Annotated[tuple[int, int, int], arg(metavar="TRAIN VAL TEST")]
SomeViews = Annotated[tuple[int, int, int] | None, arg(metavar="TRAIN VAL TEST")]


@dataclass(frozen=True)
class EvaluateOptions:
    """What `donerf evaluate` measures, on what, and where the results go."""

    file: SceneFile
    """the scene, a .donerf file"""
    data: Annotated[Path, arg(metavar="DIR")]
    """data set that is compared with: a folder, or a file of `donerf prepare --pack`"""
    samples: str = "1,2,4,8,16"
    """samples per ray, one row of the table each"""
    split: Literal["train", "val", "test"] = "test"
    """which views; no training has seen the test views"""
    placement: Literal["oracle", "uniform", "true-depth"] = "oracle"
    """where the samples go; true-depth shows what a perfect oracle would give"""
    downscale: int = 1
    """compare pictures this many times smaller"""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """what renders"""
    precision: Literal["auto", "fp32", "bf16", "fp16", "fp8"] = "auto"
    """of the matrix products; fp16 and fp8 are a GPU's"""
    json: File = None
    """write the results, and the machine they were measured on, to this file"""
    save: Folder = None
    """write picture, ground truth and difference side by side into this folder"""


@dataclass(frozen=True)
class QualityOptions:
    """What `donerf benchmark quality` trains and compares, and where the results go."""

    configs: Positional[Annotated[tuple[Path, ...], arg(metavar="CONFIG ...")]]
    """TOML files, one a scene"""
    out: Annotated[Path, arg(metavar="DIR")]
    """folder of runs, results and report; what is done there already is taken over"""
    methods: str = "donerf,uniform,true-depth,regression,recipe,nerf,nerf-log-warp"
    """by name, with commas between; single ablations can be named too"""
    samples: str = "1,2,4,8,16"
    """samples per ray, of the methods that have a choice"""
    ablations: bool = False
    """also leave out, or change, one step of the method at a time"""
    downscale: Annotated[int | None, arg(metavar="N")] = None
    """train and measure on pictures of 1/N of their size, in place of what the configs say"""
    oracle_steps: Annotated[int | None, arg(metavar="N")] = None
    """train each oracle so many steps, instead of what the config says"""
    shading_steps: Annotated[int | None, arg(metavar="N")] = None
    """the same for each shading network"""
    nerf_steps: Annotated[int | None, arg(metavar="N")] = None
    """the same for each NeRF"""
    joint_steps: Annotated[int | None, arg(metavar="N")] = None
    """the same for each training of both networks together"""
    minutes: Annotated[float | None, arg(metavar="M")] = None
    """train each network about so long, instead of a number of steps"""
    views: Annotated[int | None, arg(metavar="N")] = None
    """compare with so many test views, evenly taken; all if not given"""
    train: bool = True
    """train what is missing; else it is left out, and named"""


@dataclass(frozen=True)
class SpeedOptions:
    """What `donerf benchmark speed` times, on what, and where the results go."""

    file: SceneFile
    """the scene, a .donerf file"""
    sizes: str = "400x400"
    """of the pictures, widths x heights in pixels"""
    samples: str = "1,2,4,8,16"
    """samples per ray"""
    backends: str = "all"
    """who renders, by name; the reference, eager fp32, always does"""
    precisions: str = "all"
    """of their products: fp32, bf16, fp16, fp8; commas between some"""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """what renders"""
    frames: int = 20
    """frames that are timed for each row, at most; 5 or more"""
    seconds: float = 10.0
    """after so many a slow row stops early, though not before its fifth frame"""
    data: Folder = None
    """also compare with the test views of this data set"""
    views: int = 5
    """how many of them"""
    json: File = None
    """write the results, and the machine they were measured on, to this file"""


def view(arguments: list[str]) -> int | None:
    """Fly through a scene in a window, or render the flight to a film."""
    from viewer.app import main as view_main

    return view_main(arguments, "donerf view")


def train(arguments: list[str]) -> None:
    """Train a network: first the oracle, then the shader; or all cells of a scene; or a NeRF."""
    network, *options = arguments or ["--help"]
    if network in ("-h", "--help"):
        print(TRAIN_HELP)
        return
    if options and options[0].endswith(".toml"):
        from donerf.config import load_config

        load_config(Path(options[0]))  # What is wrong with it is told before torch is imported.
    from donerf import recipes

    if network.endswith(".json"):
        recipes.scene_recipe(arguments, TRAIN_HELP.partition("\n\n")[2], "donerf train")
        return
    known = {
        "oracle": recipes.oracle_recipe,
        "shader": recipes.shading_recipe,
        "joint": recipes.joint_recipe,
        "nerf": recipes.nerf_recipe,
    }
    if network not in known:
        raise ValueError(
            f"what is trained must be {', '.join(known)} or a scene.json, got '{network}'"
        )
    known[network](options, TRAIN_HELP.partition("\n\n")[2], f"donerf train {network}")


def info(file: SceneFile) -> None:
    """Print what a scene file holds.

    Args:
        file: the scene, a .donerf file
    """
    from donerf.assets import check_scene_file

    check_scene_file(file)

    from donerf.describe import describe
    from donerf.scene_file import load_scene

    lines = describe(load_scene(file))
    width = max(len(label) for label, _ in lines)
    for label, text in lines:
        print(f"{label:<{width}}  {text}")


def evaluate(options: Annotated[EvaluateOptions, arg(name="")]) -> None:
    """Measure a scene file against a data set: quality and cost by samples per ray.

    Prints a table: PSNR, SSIM and FLIP of the 8-bit pictures, mean over the views; milliseconds a
    frame; millions of floating-point operations a pixel.
    """
    samples = sample_counts(options.samples)

    from donerf.assets import check_scene_file

    check_scene_file(options.file)

    from rich.console import Console

    from donerf.evaluation.quality import evaluate_file, print_table, write_report

    report = evaluate_file(
        file=options.file,
        data=options.data,
        samples=samples,
        split=options.split,
        placement=options.placement,
        downscale=options.downscale,
        device=options.device,
        precision=options.precision,
        save=options.save,
    )
    print_table(report, Console())
    if options.json is not None:
        write_report(report, options.json)


def benchmark(arguments: list[str]) -> None:
    """What samples buy, method by method; how fast a scene is rendered, way by way."""
    topic, *options = arguments or ["--help"]
    if topic in ("-h", "--help"):
        print(BENCHMARK_HELP)
        return
    if topic == "quality":
        benchmark_quality(read_command_line(QualityOptions, options, "donerf benchmark quality"))
        return
    if topic != "speed":
        raise ValueError(f"what is benchmarked must be quality or speed, got '{topic}'")
    benchmark_speed(read_command_line(SpeedOptions, options, "donerf benchmark speed"))


def benchmark_quality(options: QualityOptions) -> None:
    """Train and measure what is missing, and write the report."""
    from importlib.util import find_spec

    from donerf.assets import install_line

    if find_spec("matplotlib") is None:
        raise ValueError(f"the report's plots need matplotlib; {install_line('bench')}")
    samples = sample_counts(options.samples)

    from rich.console import Console

    from donerf.evaluation.sweep import SweepSettings, run_sweep
    from donerf.evaluation.sweep_training import Budget

    budget = Budget(
        options.oracle_steps,
        options.shading_steps,
        options.nerf_steps,
        options.joint_steps,
        options.minutes,
    )
    settings = SweepSettings(
        configs=options.configs,
        methods=tuple(options.methods.split(",")),
        samples=samples,
        out=options.out,
        ablations=options.ablations,
        budget=budget,
        views=options.views,
        downscale=options.downscale,
        may_train=options.train,
    )
    from donerf.evaluation.quality_report import write_html

    rows, scenes = run_sweep(settings, Console(stderr=True))
    report = write_html(rows, scenes, options.out)
    print(f"report: {report}")


def benchmark_speed(options: SpeedOptions) -> None:
    """Time what was asked for and show it."""
    sizes, samples = picture_sizes(options.sizes), sample_counts(options.samples)

    import dataclasses

    from rich.console import Console

    from donerf.evaluation.contenders import ENTRANTS, contenders
    from donerf.evaluation.quality import write_report
    from donerf.evaluation.speed import SpeedSettings, measure_speed
    from donerf.evaluation.speed_report import print_speed

    backends = ENTRANTS if options.backends == "all" else tuple(options.backends.split(","))
    settings = SpeedSettings(
        contenders=contenders(backends, precisions=tuple(options.precisions.split(","))),
        sizes=sizes,
        samples=samples,
        device=options.device,
        frames=options.frames,
        seconds=options.seconds,
        data=options.data,
        views=options.views,
    )
    report = measure_speed(options.file, settings, Console(stderr=True))
    print_speed(report, Console())
    if options.json is not None:
        write_report(dataclasses.asdict(report), options.json)


def import_onnx(
    folder: DataFolder,
    out: Annotated[Path, arg(metavar="FILE", aliases=["-o"])],
    yaw_deg: float = 0.0,
) -> None:
    """Read networks that the DONeRF authors' program exported, and write a scene file.

    The folder holds config.ini, dataset_info.txt, model0.onnx and model1.onnx.

    Args:
        folder: the exported scene
        out: the .donerf file to write
        yaw_deg: where the middle of the trained views looks, from +x towards +y; no exported file
            says it
    """
    from donerf.onnx_import import import_onnx_command

    import_onnx_command(folder, out, yaw_deg)


def prepare(
    folder: DataFolder,
    pack: File = None,
    subset: Folder = None,
    downscale: int = 1,
    views: SomeViews = None,
) -> None:
    """Make a data set ready for training: compute its depth ranges and say what was found.

    The folder holds renders with depth in the format of docs/data-format.md; the ranges are
    written into its dataset_info.json.

    Args:
        folder: the data set
        pack: also write the whole data set into this one file, which trains as well
        subset: also write some of the views as a smaller data set into this folder
        downscale: make the subset's pictures this many times smaller
        views: how many views of each split the subset has, spread evenly; all if not given
    """
    from donerf.data.prepare import prepare_command

    prepare_command(folder, pack, subset, downscale, views)


def view_data(folder: DataFolder, out: File = None) -> None:
    """Look at a data set before training: contact sheet, distances, do depths agree.

    Args:
        folder: the data set, or a file of `donerf prepare --pack`
        out: PNG file of the contact sheet; view_data.png in the data set if not given
    """
    from donerf.data.view_data import view_data_command

    view_data_command(folder, out)


def render_scene(arguments: list[str]) -> None:
    """Render a data set from a .blend, .glb, .gltf or .obj file."""
    from donerf.data.render_scene import render_scene_command

    render_scene_command(arguments, "donerf render-scene")


def setup_blender(python: Annotated[Path | None, arg(metavar="PATH")] = None) -> None:
    """Fetch Blender as a Python module into your cache, for `donerf render-scene`.

    About 350 MB are fetched and 1 GB is needed. It stays apart from all other Python packages.

    Args:
        python: a Python 3.11 to make its environment with; found by itself if not given
    """
    from donerf.data.blender import setup_blender_command

    setup_blender_command(python)


def demo_data(
    folder: DataFolder, size: Size = (100, 100), views: Views = (40, 4, 8), seed: int = 0
) -> None:
    """Write a small scene to train on, made in seconds from boxes and balls.

    Args:
        folder: a new or an empty folder
        size: of the pictures, in pixels
        views: how many views of each split
        seed: what stands where, and from where it is seen
    """
    from donerf.data.procedural import demo_data_command

    demo_data_command(folder, size, views, seed)


def doctor(json: bool = False) -> int:
    """Say what works here, what does not, and what mends it: window, GPU, codecs, packages.

    The exit code is 1 when something that is needed is broken.

    Args:
        json: print the findings as JSON
    """
    from viewer.doctor import doctor_command

    return doctor_command(json)


def sample_counts(text: str) -> tuple[int, ...]:
    """Read "1,2,4" as (1, 2, 4)."""
    try:
        return tuple(int(count) for count in text.split(","))
    except ValueError:
        raise ValueError(
            f"--samples must be numbers with commas between them, such as 1,2,4; got '{text}'"
        ) from None


def picture_sizes(text: str) -> tuple[tuple[int, int], ...]:
    """Read "400x400,800x600" as ((400, 400), (800, 600))."""
    try:
        sizes = tuple(tuple(int(edge) for edge in size.split("x")) for size in text.split(","))
        return tuple((width, height) for width, height in sizes)
    except ValueError:
        raise ValueError(
            "--sizes must be widths x heights with commas between them, such as 400x400,800x800; "
            f"got '{text}'"
        ) from None


COMMANDS: dict[str, Callable[..., int | None]] = {
    "view": view,
    "info": info,
    "evaluate": evaluate,
    "benchmark": benchmark,
    "import-onnx": import_onnx,
    "demo-data": demo_data,
    "setup-blender": setup_blender,
    "render-scene": render_scene,
    "prepare": prepare,
    "view-data": view_data,
    "train": train,
    "doctor": doctor,
}
# These read their command line themselves; the options of the others are their parameters.
FORWARDED = ("view", "train", "benchmark", "render-scene")


def help_text() -> str:
    """All commands, each with the first line of its docstring."""
    lines = [
        f"  {name:<15}{(command.__doc__ or '').splitlines()[0]}"
        for name, command in COMMANDS.items()
    ]
    return HELP.format(commands="\n".join(lines))


def run(arguments: Sequence[str]) -> int | None:
    """Do what the command line asks for; returns the exit code, None for success."""
    name, *options = arguments or ["--help"]
    if name in ("-h", "--help", "help"):
        print(help_text())
        return None
    if name == "--version":
        print(version("donerf"))
        return None
    if name not in COMMANDS:
        near = difflib.get_close_matches(name, COMMANDS, n=1)
        hint = f"did you mean '{near[0]}'?" if near else "donerf --help explains them"
        raise ValueError(f"the command must be one of {', '.join(COMMANDS)}, got '{name}'; {hint}")
    if name in FORWARDED:
        return COMMANDS[name](options)
    return call_with_command_line(COMMANDS[name], options, f"donerf {name}")


def main() -> None:
    """The console command."""
    run_as_command(lambda: run(sys.argv[1:]))
