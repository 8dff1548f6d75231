"""From a command line to a trained scene file; what the scripts and `donerf train` share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from donerf.config import Config
from donerf.data.dataset import load_dataset
from donerf.data.scene_list import ListedCell, read_scene_list
from donerf.evaluation.quality import DEFAULT_SAMPLES, evaluate
from donerf.precision import choose_device
from donerf.renderer import make_renderer
from donerf.scene_file import Scene, load_scene, save_scene, with_metadata
from donerf.training.arguments import TrainingArguments, parse_training_arguments
from donerf.training.joint import train_joint
from donerf.training.nerf import train_nerf
from donerf.training.oracle import train_oracle
from donerf.training.run import check_settings_but_machine, checkpoints
from donerf.training.shading import train_shading

_POSES_KEPT = 12


def oracle_recipe(arguments: Sequence[str], description: str, prog: str) -> None:
    """Train a scene's oracle."""
    train_oracle_as_asked(parse_training_arguments(arguments, "oracle", description, prog))


def shading_recipe(arguments: Sequence[str], description: str, prog: str) -> None:
    """Train a scene's shading network, measure it on the test views, write the scene file."""
    train_shading_as_asked(parse_training_arguments(arguments, "shading", description, prog))


def joint_recipe(arguments: Sequence[str], description: str, prog: str) -> None:
    """Go on with both networks of a scene together, and write another scene file."""
    asked = parse_training_arguments(arguments, "joint", description, prog)
    console = Console()
    scene = train_joint(asked.config, asked.run_folder, asked.shading_run, asked.resume, console)
    output = asked.output.with_name(f"{asked.output.stem}_joint.donerf")
    write_measured(scene, replace(asked, output=output), console)


def scene_recipe(arguments: Sequence[str], description: str, prog: str) -> None:
    """Train each cell of a scene.json in turn; what is trained is left, what is begun goes on."""
    file, *options = arguments
    for cell in read_scene_list(Path(file)):
        asked = parse_cell_arguments(cell, Path(file), options, description, prog)
        config, run = asked.config, asked.oracle_run.with_name("shading")
        if not is_finished(asked.oracle_run, config, config.oracle_training.steps):
            train_oracle_as_asked(asked)
        is_trained = is_finished(run, config, config.shading_training.steps)
        if not (is_trained and asked.output.exists()):
            resume = (run / "state.safetensors").exists()
            train_shading_as_asked(replace(asked, run_folder=run, resume=resume))
        Console().print(f"cell {cell.name} is trained: {asked.output}", highlight=False)


def is_finished(run_folder: Path, config: Config, steps: int) -> bool:
    """Whether a run has taken all its steps; one with other settings is refused."""
    if not (run_folder / f"{steps:06d}.donerf").exists():
        return False
    check_settings_but_machine(run_folder, config)
    return True


def parse_cell_arguments(
    cell: ListedCell, file: Path, options: Sequence[str], description: str, prog: str
) -> TrainingArguments:
    """What the training of one cell's oracle is; the config in its folder gives the defaults."""
    config_file = cell.folder / f"{cell.folder.name}.toml"
    if not config_file.is_file():
        raise FileNotFoundError(
            f"the cell '{cell.name}' of {file} must have a config, there is no {config_file}; "
            "`donerf render-scene` writes it when the cell is rendered"
        )
    asked = parse_training_arguments([str(config_file), *options], "oracle", description, prog)
    # The list knows where the data is now, whatever the config says.
    scene = asked.config.scene.model_copy(update={"folder": cell.folder})
    base = Path("runs") / file.resolve().parent.name
    run = base / cell.folder.name / "oracle"
    return TrainingArguments(
        config=asked.config.model_copy(update={"scene": scene}),
        run_folder=run,
        oracle_run=run,
        shading_run=run.with_name("shading"),
        output=base / f"{cell.folder.name}.donerf",
        resume=(run / "state.safetensors").exists(),
    )


def train_oracle_as_asked(asked: TrainingArguments) -> None:
    """Train the oracle and say where it is."""
    console = Console()
    train_oracle(asked.config, asked.run_folder, asked.resume, console)
    newest = checkpoints(asked.run_folder)[-1]
    console.print(f"trained oracle: {newest}", highlight=False, soft_wrap=True)


def train_shading_as_asked(asked: TrainingArguments) -> None:
    """Train the shading network, write the scene file, and say how good it is."""
    console = Console()
    scene = train_shading(asked.config, asked.run_folder, asked.oracle_run, asked.resume, console)
    write_measured(scene, asked, console)


def write_measured(scene: Scene, asked: TrainingArguments, console: Console) -> None:
    """Write the scene file of a training, and say how good it is."""
    save_scene(scene, asked.output)  # What took so long is safe before anything else can fail.
    try:
        # As it was written: what a file rounds is in its quality.
        scene = with_test_quality(load_scene(asked.output), asked.config)
    except (FileNotFoundError, ValueError) as error:
        console.print(f"the file says nothing of its quality on test views: {error}", markup=False)
    else:
        save_scene(scene, asked.output)
        for samples, psnr in scene.metadata.quality["psnr"].items():
            console.print(f"test views, S = {samples}: {psnr:.2f} dB", highlight=False)
    console.print(f"scene file: {asked.output}", highlight=False, soft_wrap=True)
    console.print(f"fly through it: donerf view {asked.output}", highlight=False, soft_wrap=True)


def nerf_recipe(arguments: Sequence[str], description: str, prog: str) -> None:
    """Train the baseline of a scene and write its scene file."""
    asked = parse_training_arguments(arguments, "nerf", description, prog)
    console = Console()
    scene = train_nerf(asked.config, asked.run_folder, asked.resume, console)
    output = asked.output.with_name(f"{asked.output.stem}_nerf.donerf")
    save_scene(scene, output)
    console.print(f"scene file: {output}", highlight=False, soft_wrap=True)


def with_test_quality(scene: Scene, config: Config) -> Scene:
    """The scene with its quality on the test views and some of their poses in its metadata."""
    test = load_dataset(config.scene.folder, "test", config.scene.downscale)
    renderer = make_renderer(scene, str(choose_device(config.device)), config.precision)
    psnr = {
        str(samples): round(evaluate(renderer, scene, test, samples).psnr, 3)
        for samples in DEFAULT_SAMPLES
    }
    height, width = test.colors.shape[1:3]
    quality = {"split": "test", "views": len(test.cameras), "size": [width, height], "psnr": psnr}
    poses = [camera.world_from_camera.tolist() for camera in test.cameras[:_POSES_KEPT]]
    return with_metadata(scene, quality=quality, test_poses=poses)
