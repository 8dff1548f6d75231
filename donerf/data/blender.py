"""Finds a Blender to render with: an installed one, or the module bpy in an environment of its own.

Blender itself is never part of this program. `donerf setup-blender` fetches its Python module from
the package index into the user's cache; it needs Python 3.11 and an older numpy than the rest of
the program, so it is never installed beside it.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from donerf.data.blender_script import OLDEST_BLENDER
from donerf.files import write_text

BPY = "bpy==5.0.1"
BPY_NUMPY = "numpy>=1.26,<2"
BPY_PYTHON = (3, 11)
_BLENDER_DOWNLOAD = "https://www.blender.org/download"
_LIBRARIES = "libx11-6 libxi6 libxrender1 libxfixes3 libxkbcommon0 libsm6 libgl1"
"""Debian's packages of what the module loads; a machine without a desktop may lack them."""


@dataclass(frozen=True)
class Blender:
    """Something that runs a script with the module bpy.

    program:    Blender, or a Python that has bpy
    is_module:  the latter
    """

    program: Path
    is_module: bool

    def command(self, script: Path, words: Sequence[str]) -> list[str]:
        """The command line that runs a script of ours with some arguments."""
        if self.is_module:
            return [str(self.program), str(script), *words]
        # Without the user's own start-up file and add-ons, pictures are the same everywhere.
        options = ("--background", "--factory-startup", "--python-exit-code", "1")
        return [str(self.program), *options, "--python", str(script), "--", *words]


def find_blender(named: Path | None) -> Blender:
    """The Blender that was named; else one on the PATH that is new enough; else the module's."""
    if named is not None:
        return _named_blender(named)
    on_path = shutil.which("blender")
    version = _blender_version(Path(on_path)) if on_path else None
    if on_path and version is not None and version >= OLDEST_BLENDER:
        return Blender(Path(on_path), is_module=False)
    if is_set_up():
        return Blender(environment_python(), is_module=True)
    found = f"the one on the PATH is {_dotted(version)}" if version else "there is none on the PATH"
    raise FileNotFoundError(
        f"rendering needs Blender {_dotted(OLDEST_BLENDER)} or newer, {found}; `donerf "
        f"setup-blender` fetches it as a Python module (350 MB), or install it "
        f"({_BLENDER_DOWNLOAD}) and name it with --blender PATH"
    )


def _named_blender(program: Path) -> Blender:
    found = shutil.which(program)
    if found is None:
        raise FileNotFoundError(f"--blender must be a program that can be run, got {program}")
    version = _blender_version(Path(found))
    if version is None:
        if _bpy_fault(Path(found)) is not None:
            raise ValueError(
                f"--blender must be Blender, or a Python with the module bpy, got {program}"
            )
        return Blender(Path(found), is_module=True)
    if version < OLDEST_BLENDER:
        raise ValueError(
            f"--blender must be {_dotted(OLDEST_BLENDER)} or newer, {program} is "
            f"{_dotted(version)}; `donerf setup-blender` fetches one"
        )
    return Blender(Path(found), is_module=False)


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))


def _blender_version(program: Path) -> tuple[int, int] | None:
    """(major, minor); None where the program is not Blender or does not run."""
    try:
        shown = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r"^Blender (\d+)\.(\d+)", shown.stdout, re.MULTILINE)
    return (int(found[1]), int(found[2])) if found else None


def _bpy_fault(python: Path) -> str | None:
    """Why a program cannot load bpy, in the last line of what it says; None: it can."""
    code = "import bpy; print('bpy', bpy.app.version_string)"
    try:
        done = subprocess.run([python, "-c", code], capture_output=True, text=True, timeout=120)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    if done.returncode == 0 and "bpy " in done.stdout:
        return None
    return (done.stderr.strip().splitlines() or ["it gives no reason"])[-1]


def cache_folder() -> Path:
    """Where this user's programs keep what they can fetch again."""
    home = Path.home()
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = home / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache")
    return base / "donerf"


def environment_folder() -> Path:
    """The environment that `setup_blender` makes."""
    return cache_folder() / BPY.replace("==", "-")


def environment_python() -> Path:
    """Its Python."""
    folder = environment_folder()
    return folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


def is_set_up() -> bool:
    """Whether the environment was finished, not only begun."""
    return _finished_mark().is_file() and environment_python().exists()


def _finished_mark() -> Path:
    return environment_folder() / "finished.txt"


def setup_blender_command(python: Path | None = None) -> None:
    """Set Blender's module up, and say where it is."""
    was_there = is_set_up()
    folder = setup_blender(python)
    print(f"{BPY} {'is already' if was_there else 'is now'} in {folder}")


def setup_blender(python: Path | None = None) -> Path:
    """Make the environment with the module bpy, unless it is there; returns its folder.

    python:  a Python 3.11 to make it with; None: this one if it is, else python3.11
    """
    folder = environment_folder()
    if is_set_up():
        return folder
    base = python or _find_python()
    folder.parent.mkdir(parents=True, exist_ok=True)
    _run([str(base), "-m", "venv", "--clear", str(folder)], "the environment could not be made")
    # pip shows its own progress, and it keeps what it has fetched for a second try.
    pip = [str(environment_python()), "-m", "pip", "install", "--disable-pip-version-check"]
    _run([*pip, "--only-binary=:all:", BPY, BPY_NUMPY], f"{BPY} could not be installed")
    fault = _bpy_fault(environment_python())
    if fault is not None:
        raise OSError(
            f"{BPY} is installed but does not start ({fault}); if a library is missing, install "
            f"it (on Debian and Ubuntu: apt-get install {_LIBRARIES}) and try again"
        )
    write_text(_finished_mark(), f"{BPY}\n")
    return folder


def _run(command: list[str], failed: str) -> None:
    code = subprocess.run(command).returncode
    if code:
        raise OSError(
            f"{failed}, see the lines above; {environment_folder()} needs 1 GB of space and the "
            "package index must be reachable; or install Blender and use --blender PATH"
        )


def _find_python() -> Path:
    if sys.version_info[:2] == BPY_PYTHON:
        return Path(sys.executable)
    name = f"python{_dotted(BPY_PYTHON)}"
    found = shutil.which(name)
    if found is None:
        here = _dotted(sys.version_info[:2])
        raise FileNotFoundError(
            f"{BPY} needs Python {_dotted(BPY_PYTHON)}, this is {here} and there is no {name} on "
            f"the PATH; install it, or install Blender ({_BLENDER_DOWNLOAD}) and use --blender PATH"
        )
    return Path(found)
