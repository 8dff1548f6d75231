"""`donerf render-scene`: from a Blender file or a model to data sets that can be trained on.

Blender runs blender_script.py in a process of its own. Here its lines are read, its progress is
shown, and what it has rendered is prepared for training.
"""

from __future__ import annotations

import argparse
import json
import re
import shlex
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from donerf.command import OptionParser
from donerf.data import blender_script
from donerf.data.blender import Blender, find_blender
from donerf.data.contact_sheet import distance_limits, write_sheet
from donerf.data.prepare import prepare_command
from donerf.data.scene_list import SCENE_FILE, read_scene_list
from donerf.data.view_data import read_all_views
from donerf.files import write_text

EXAMPLES = ("gallery",)

_SCRIPTS = Path(__file__).parent
_PREVIEW_VIEWS, _PREVIEW_PIXELS, _PREVIEW_SAMPLES = 8, 200, 8
_LAST_LINES = 12
_DESCRIPTION = """\
Render color and depth of a scene from a view cell, and make the data set ready for training.

The cell is an empty cube named view_cell in the file, or --cell-center and --cell-size; the camera
gives the base direction and the field of view. After an interruption the same command goes on.

examples:
  donerf render-scene room.blend --out data/room --preview      look before the long run
  donerf render-scene room.blend --out data/room --size 200 200
  donerf render-scene --example gallery --out data/gallery      needs no file of yours"""

_CONFIG = """\
# Rendered by `donerf render-scene`. The folder counts from where commands are started.
[scene]
folder = {folder}
name = {name}
"""


def render_scene_command(arguments: Sequence[str], prog: str) -> None:
    """Render what the command line asks for, prepare it, and say how to go on."""
    options = _parser(prog).parse_args(arguments)
    blender_script.check_options(options)
    if (options.scene is None) == (options.example is None):
        raise ValueError("what is rendered must be either a scene file or --example gallery")
    if options.scene is not None and not options.scene.is_file():
        raise FileNotFoundError(f"there is no scene file {options.scene}")
    console = Console()
    blender = find_blender(options.blender)
    # The other options are known to Blender's script and go there as they are.
    _, words = _own_options().parse_known_args(arguments)
    if options.example is not None:
        scene = options.out / f"{options.example}.blend"
        if not scene.is_file():
            script = f"{options.example}_script.py"
            run_blender(blender, script, ["--out", str(scene)], console)
        words = [str(scene), *words]
    if options.preview:
        _preview(blender, words, options, console)
        return
    run_blender(blender, "blender_script.py", words, console)
    configs = [_finish(folder, console) for folder in data_folders(options.out)]
    _say_how_to_go_on(options.out, [config for config in configs if config is not None], console)


def _own_options() -> argparse.ArgumentParser:
    """The options that Blender's script does not know."""
    own = OptionParser(add_help=False, allow_abbrev=False)
    text = "render a furnished room that comes with the program and has two view cells"
    own.add_argument("--example", choices=EXAMPLES, help=text)
    text = "render 8 small views only and lay them out in one picture, with a plan of the cell"
    own.add_argument("--preview", action="store_true", help=text)
    text = "Blender, or a Python that has bpy; found by itself if not given"
    own.add_argument("--blender", type=Path, metavar="PATH", help=text)
    return own


def _parser(prog: str) -> argparse.ArgumentParser:
    return OptionParser(
        prog=prog,
        description=_DESCRIPTION,
        parents=[blender_script.parser(add_help=False), _own_options()],
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )


def run_blender(blender: Blender, script: str, words: Sequence[str], console: Console) -> None:
    """Run one of our scripts in Blender and show how far it is.

    Raises ValueError with the script's own sentence where it has one.
    """
    command = blender.command(_SCRIPTS / script, [*words, "--stop-with-stdin"])
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(elapsed_when_finished=True),
    )
    progress, last = Progress(*columns, console=console), list[str]()
    # Ctrl-C reaches this process alone: Blender would take it for the end of one view.
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        start_new_session=True,
    ) as process:
        assert process.stdout is not None, "it was asked for"
        try:
            for line in process.stdout:
                last = [*last, line.rstrip()][-_LAST_LINES:]
                _show(line, progress)
            process.wait()
        except BaseException:
            process.kill()
            console.print("stopped; the same command goes on", highlight=False)
            raise
        finally:
            if progress.tasks:
                progress.stop()
    if process.returncode != 0:
        raise ValueError(_failure(process.returncode, last))


def _show(line: str, progress: Progress) -> None:
    """A line of Blender's script as a note, the start of a data set, or one more view."""
    if note := re.match(r"donerf: note: (.*)", line):
        progress.console.print(f"note: {note[1]}", highlight=False, markup=False, soft_wrap=True)
    elif begun := re.match(r"donerf: (.*) has (\d+) of (\d+) views to render", line):
        left, total = int(begun[2]), int(begun[3])
        progress.start()
        progress.add_task(Path(begun[1]).name, total=total, completed=total - left)
    elif line.startswith("donerf: rendered ") and progress.task_ids:
        progress.advance(progress.task_ids[-1])


def _failure(code: int, last: Sequence[str]) -> str:
    """Why the script failed: in its own words, or what little is known."""
    for line in last:
        if line.startswith("error: "):
            return line.removeprefix("error: ")
    how = f"by signal {-code}" if code < 0 else f"with code {code}"
    why = (
        "; is there enough memory" if code == -9 else f"; its last line is '{' '.join(last[-1:])}'"
    )
    return f"Blender ended {how}{why}; finished views stay, and the same command goes on"


def data_folders(out: Path) -> list[Path]:
    """The data sets that were rendered into a folder: one, or one a view cell."""
    if (out / SCENE_FILE).is_file():
        return [cell.folder for cell in read_scene_list(out / SCENE_FILE)]
    return [out]


def _finish(folder: Path, console: Console) -> Path | None:
    """Prepare a data set and write its config; None where it has no views to train on."""
    if not (folder / "transforms_train.json").is_file():
        console.print(f"{folder}: done; no views to train on", highlight=False, soft_wrap=True)
        return None
    prepare_command(folder)
    name = folder.resolve().name
    config = folder / f"{name}.toml"
    if not config.exists():  # It may have been edited since an earlier run.
        # Every string that JSON can hold is one of TOML, as long as it is not escaped to ASCII.
        folder_text, name_text = (
            json.dumps(text, ensure_ascii=False)
            for text in (folder.as_posix(), name.replace("_", " ").capitalize())
        )
        write_text(config, _CONFIG.format(folder=folder_text, name=name_text))
    return config


def _say_how_to_go_on(out: Path, configs: Sequence[Path], console: Console) -> None:
    if not configs:
        return
    if (out / SCENE_FILE).is_file():
        lines = [f"donerf train {shlex.quote(str(out / SCENE_FILE))}"]
    else:
        config, name = shlex.quote(str(configs[0])), configs[0].stem
        lines = [f"donerf train {network} {config}" for network in ("oracle", "shader")]
        lines.append(f"donerf view {shlex.quote(f'runs/{name}/{name}.donerf')}")
    console.print("now train on it:", *lines, sep="\n  ", highlight=False, soft_wrap=True)


def _preview(
    blender: Blender, words: Sequence[str], options: argparse.Namespace, console: Console
) -> None:
    """Render few small views into a folder that is thrown away; keep their sheets."""
    if options.poses is not None:
        raise ValueError("--preview draws its own views, so --poses cannot be given with it")
    scale = _PREVIEW_PIXELS / max(options.size)
    size = [str(max(round(side * scale), 1)) for side in options.size]
    counts = ["--train", str(_PREVIEW_VIEWS), "--val", "0", "--test", "0"]
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch, "preview")
        small = ["--out", str(out), "--size", *size, "--samples", str(_PREVIEW_SAMPLES), *counts]
        run_blender(blender, "blender_script.py", [*words, *small], console)
        folders = data_folders(out)
        for folder in folders:
            name = "preview.png" if len(folders) == 1 else f"preview_{folder.name}.png"
            _write_preview(folder, options.out / name, console)


def _write_preview(folder: Path, path: Path, console: Console) -> None:
    info, views = read_all_views(folder)
    yaw, pitch = info.view_rotation_deg
    box = blender_script.box_text(info.view_cell_center, info.view_cell_size)
    notes = [f"the cell: {box}", f"views turn by {yaw:g} x {pitch:g} degrees in all"]
    limits = distance_limits(views["train"])
    if limits is not None:
        notes.append(f"surfaces from {limits[0]:.3g} to {limits[1]:.3g} scene units")
    write_sheet(
        path, f"{path.parent}, {path.stem.replace('_', ' ', 1)}", info, views["train"], notes
    )
    console.print(f"preview: {path}", highlight=False, soft_wrap=True)
