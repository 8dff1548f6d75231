"""From a command line to a trained scene file; what the scripts and `donerf train` share."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console

from donerf.config import Config
from donerf.data.dataset import load_dataset
from donerf.evaluation.quality import DEFAULT_SAMPLES, evaluate
from donerf.precision import choose_device
from donerf.renderer import make_renderer
from donerf.scene_file import Scene, save_scene, with_metadata
from donerf.training.arguments import parse_training_arguments
from donerf.training.oracle import train_oracle
from donerf.training.run import checkpoints
from donerf.training.shading import train_shading

_POSES_KEPT = 12


def oracle_recipe(arguments: Sequence[str], description: str, prog: str) -> None:
    """Train a scene's oracle."""
    asked = parse_training_arguments(arguments, "oracle", description, prog)
    console = Console()
    train_oracle(asked.config, asked.run_folder, asked.resume, console)
    newest = checkpoints(asked.run_folder)[-1]
    console.print(f"trained oracle: {newest}", highlight=False, soft_wrap=True)


def shading_recipe(arguments: Sequence[str], description: str, prog: str) -> None:
    """Train a scene's shading network, measure it on the test views, write the scene file."""
    asked = parse_training_arguments(arguments, "shading", description, prog)
    console = Console()
    scene = train_shading(asked.config, asked.run_folder, asked.oracle_run, asked.resume, console)
    save_scene(scene, asked.output)  # What took so long is safe before anything else can fail.
    try:
        scene = with_test_quality(scene, asked.config)
    except (FileNotFoundError, ValueError) as error:
        console.print(f"the file says nothing of its quality on test views: {error}", markup=False)
    else:
        save_scene(scene, asked.output)
        for samples, psnr in scene.metadata.quality["psnr"].items():
            console.print(f"test views, S = {samples}: {psnr:.2f} dB", highlight=False)
    console.print(f"scene file: {asked.output}", highlight=False, soft_wrap=True)
    console.print(f"fly through it: python view.py {asked.output}", highlight=False, soft_wrap=True)


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
