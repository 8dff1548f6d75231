"""The `donerf` command: thin, one function a sub-command.

Whatever is heavy is imported inside the functions, so that `donerf --help` answers at once. This is
the only file of the package that may import `viewer`.
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from tyro.conf import Positional

from donerf.command import run_as_command

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
  donerf prepare data/mine                    make your own renders ready for training
  donerf train oracle configs/courtyard.toml  the first of the two trainings
  donerf evaluate scene.donerf --data data/mine --samples 1,4,16

`donerf COMMAND --help` says more about each."""


def view(arguments: list[str]) -> int | None:
    """Fly through a scene in a window, or render the flight to a film."""
    from viewer.app import main as view_main

    return view_main(arguments)


def train(arguments: list[str]) -> None:
    """Train one of the two networks: oracle, then shader."""
    raise NotImplementedError(arguments)


def info(file: Positional[Path]) -> None:
    """Print what a scene file holds.

    Args:
        file: the scene, a .donerf file
    """
    from rich.console import Console
    from rich.table import Table

    from donerf.describe import describe
    from donerf.scene_file import load_scene

    table = Table(box=None, show_header=False)
    for label, text in describe(load_scene(file)):
        table.add_row(label, text)
    Console().print(table)


# Those that read their own command line, and those whose options are their parameters.
FORWARDED = {"view": view, "train": train}
COMMANDS = {"info": info}


def help_text() -> str:
    """All commands, each with the first line of its docstring."""
    lines = [
        f"  {name:<12}{(command.__doc__ or '').splitlines()[0]}"
        for name, command in (FORWARDED | COMMANDS).items()
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
    if name in FORWARDED:
        return FORWARDED[name](options)
    if name in COMMANDS:
        import tyro

        return tyro.cli(COMMANDS[name], args=options, prog=f"donerf {name}")
    known = [*FORWARDED, *COMMANDS]
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean '{near[0]}'?" if near else "try donerf --help"
    raise ValueError(f"the command must be one of {', '.join(known)}, got '{name}'; {hint}")


def main() -> None:
    """The console command."""
    run_as_command(lambda: run(sys.argv[1:]))
