"""`donerf doctor`: what works here, what does not, and what mends it."""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any, Literal

from viewer.handover import one_line

# 'note' is no fault: something works in a lesser way, or is not there and not needed.
Verdict = Literal["ok", "note", "broken"]
BROKEN_EXIT_CODE = 1
_GL_SECONDS = 60.0


@dataclass(frozen=True)
class Check:
    """What was found about one thing.

    found:  in one line
    fix:    what to do about it; empty when nothing has to be done
    """

    name: str
    verdict: Verdict
    found: str
    fix: str = ""


def examine() -> Iterator[Check]:
    """Check everything that the viewer stands on, one after the other."""
    for name, check in _CHECKS:
        try:
            yield from check()
        # A check that fails in a way that nobody foresaw is a finding, too.
        except Exception as error:
            yield Check(name, "broken", f"{type(error).__name__}: {one_line(error)}")


def doctor_command(as_json: bool) -> int:
    """Print what `examine` finds; returns the exit code, not 0 when something needed is broken."""
    if as_json:
        checks = list(examine())
        is_ok = all(check.verdict != "broken" for check in checks)
        print(json.dumps({"ok": is_ok, "checks": [asdict(check) for check in checks]}, indent=1))
        return 0 if is_ok else BROKEN_EXIT_CODE
    from rich.console import Console

    console = Console(highlight=False)
    broken = 0
    for check in examine():
        broken += check.verdict == "broken"
        _print(console, check)
    if broken:
        console.print(f"\n{broken} of the things that are needed do not work.", style="red")
    else:
        console.print("\nEverything that is needed works.", style="green")
    return BROKEN_EXIT_CODE if broken else 0


def _print(console: Any, check: Check) -> None:
    marks = {"ok": "[green]ok    ", "note": "[yellow]note  ", "broken": "[red]broken"}
    console.print(f"{marks[check.verdict]}[/]", end="  ")
    console.print(f"{check.name}: {check.found}", markup=False, soft_wrap=True)
    if check.fix:
        console.print(f"        -> {check.fix}", markup=False, soft_wrap=True)


def _check_python() -> Iterator[Check]:
    found = f"Python {platform.python_version()} on {platform.platform()}, {os.cpu_count()} CPUs"
    yield Check("system", "ok", found)


def _check_packages() -> Iterator[Check]:
    # The panel is a matter of taste; the next check is about it.
    needs = [need for need in requires_of("donerf") if not need.startswith("imgui")]
    faults = [fault for need in needs if (fault := package_fault(need)) is not None]
    for fault in faults:
        yield fault
    if not faults:
        yield Check("packages", "ok", f"all {len(needs)} that are needed are here and fit")
    if package_version("imgui-bundle") is None:
        yield Check("panel", "note", "the window has no panel", "pip install imgui-bundle")


def _check_torch() -> Iterator[Check]:
    import torch

    capability = torch.backends.cpu.get_cpu_capability()
    found = f"{torch.__version__}, {torch.get_num_threads()} threads, {capability}"
    yield Check("torch", "ok", found)
    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
        yield Check("CUDA", "ok", f"{', '.join(names)}, CUDA {torch.version.cuda}")
    elif Path("/dev/nvidia0").exists():
        why = (
            "this torch was built without CUDA" if torch.version.cuda is None else "torch sees none"
        )
        fix = "install the torch that fits your driver, see pytorch.org/get-started"
        yield Check("CUDA", "note", f"there is an NVIDIA GPU, but {why}: the CPU renders", fix)
    else:
        yield Check("CUDA", "note", "no NVIDIA GPU: the CPU renders")


def _check_window() -> Iterator[Check]:
    found, crash = probe_gl([sys.executable, "-m", "viewer.gl_probe"])
    if crash is not None:
        yield Check("window", "broken", crash, "update the graphics driver, or Mesa")
        return
    yield from window_checks(found, has_display())


def window_checks(found: dict[str, Any], is_display_there: bool) -> Iterator[Check]:
    """What the probe of OpenGL means.

    found:             as `viewer.gl_probe` prints it
    is_display_there:  whether a window was to be expected
    """
    context = ", ".join(str(found.get(name)) for name in ("renderer", "vendor", "version"))
    if found["window"] is None:
        yield Check("window", "ok", f"opens, OpenGL by {context}")
        if "llvmpipe" in context or "softpipe" in context:
            yield Check(
                "OpenGL", "note", "runs in software; it only presents pictures: that will do"
            )
    elif is_display_there:
        fix = (
            "see that the display answers (DISPLAY) and that OpenGL 3.3 is there, on Debian and "
            "Ubuntu: apt install libgl1 libglx-mesa0 libegl1"
        )
        yield Check("window", "broken", f"does not open ({found['window']})", fix)
    else:
        yield Check("window", "note", "no display: films and pictures only, with --headless")
        if found["egl"] is None:
            yield Check("OpenGL", "note", f"without a display by {context}")
    if found.get("interop") is not None:
        yield Check("interop", "note", f"pictures are copied, since {found['interop']}")
    elif "interop" in found:
        yield Check("interop", "ok", "pictures go from CUDA to OpenGL directly")
    if found["gamepads"]:
        yield Check("gamepad", "ok", ", ".join(found["gamepads"]))


def _check_codecs() -> Iterator[Check]:
    import numpy as np

    from viewer.film import open_film

    for kind, name in ((".gif", "gif film"), ("", "PNG folder"), (".mp4", "mp4 film")):
        with tempfile.TemporaryDirectory() as folder:
            try:
                with open_film(Path(folder) / f"test{kind}", (16, 16), 24) as film:
                    for level in (0, 255):
                        film.add(np.full((16, 16, 4), level, np.uint8))
            except (OSError, ValueError) as error:
                yield Check(name, "broken", one_line(error))
            else:
                yield Check(name, "ok", "can be written")


def _check_scene() -> Iterator[Check]:
    from donerf import load_scene, make_renderer
    from donerf.assets import default_scene
    from viewer.camera_path import flight_matrices
    from viewer.fly_camera import make_camera
    from viewer.render_modes import RenderMode
    from viewer.rendering import RenderRequest, render_picture

    scene = load_scene(default_scene())
    cell = scene.cells[0].cell
    camera = make_camera(flight_matrices(cell, 1)[0], 200, 150, cell.fov_x)
    renderer = make_renderer(scene)
    request = RenderRequest(camera, 4, RenderMode.COLOR)
    render_picture(renderer, request, cell)  # The first one pays for warming up.
    start = time.perf_counter()
    render_picture(renderer, request, cell)
    ms = (time.perf_counter() - start) * 1000
    info = renderer.info
    renderer.close()
    how = f"{info.backend} on {info.device_name}, {info.precision}"
    yield Check("scene", "ok", f"{scene.name} at 200x150 with 4 samples: {ms:.0f} ms, {how}")


def _check_folders() -> Iterator[Check]:
    from viewer.preferences import preferences_path

    for name, folder in (("pictures", Path.cwd()), ("settings", preferences_path().parent)):
        if is_writable(folder):
            yield Check(name, "ok", f"are kept in {folder}")
        else:
            fix = "name another folder with --captures" if name == "pictures" else f"chmod {folder}"
            yield Check(name, "note", f"cannot be kept in {folder}", fix)


_CHECKS: tuple[tuple[str, Callable[[], Iterator[Check]]], ...] = (
    ("system", _check_python),
    ("packages", _check_packages),
    ("torch", _check_torch),
    ("window", _check_window),
    ("films", _check_codecs),
    ("scene", _check_scene),
    ("folders", _check_folders),
)


def probe_gl(command: list[str]) -> tuple[dict[str, Any], str | None]:
    """Run the probe of OpenGL; what it found, and None or why it found nothing."""
    here = str(Path(__file__).resolve().parent.parent)
    path = os.pathsep.join(filter(None, [here, os.environ.get("PYTHONPATH")]))
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=_GL_SECONDS,
            env=os.environ | {"PYTHONPATH": path},
        )
    except subprocess.TimeoutExpired:
        return {}, f"OpenGL did not answer in {_GL_SECONDS:.0f} s"
    if done.returncode < 0:
        return {}, f"the OpenGL driver crashed (signal {-done.returncode})"
    try:
        return json.loads(done.stdout.splitlines()[-1]), None
    except (ValueError, IndexError):
        lines = done.stderr.strip().splitlines()
        return {}, f"OpenGL could not be tried: {lines[-1] if lines else 'no reason given'}"


def has_display() -> bool:
    """Whether a window is to be expected here."""
    if sys.platform != "linux":
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def requires_of(package: str) -> list[str]:
    """What a package needs, without its extras: as installed, else as the folder's file says."""
    try:
        return [need for need in requires(package) or [] if "extra ==" not in need]
    except PackageNotFoundError:
        file = Path(__file__).resolve().parent.parent / "pyproject.toml"
        if not file.is_file():
            return []
        return tomllib.loads(file.read_text(encoding="utf-8"))["project"]["dependencies"]


def package_version(name: str) -> str | None:
    """Of an installed package."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def package_fault(need: str) -> Check | None:
    """What is wrong with a package that is needed, such as 'numpy<3,>=2.1'."""
    name = re.split(r"[\s\[<>=!~;]", need, maxsplit=1)[0]
    here = package_version(name)
    if here is None:
        return Check(name, "broken", "is missing", f"pip install '{need}'")
    for sign, bound in re.findall(r"(>=|<)\s*([\d.]+)", need.split(";")[0]):
        is_below = _numbers(here) < _numbers(bound)
        if is_below == (sign == ">="):
            return Check(name, "note", f"{here} is not {sign}{bound}", f"pip install '{need}'")
    return None


def is_writable(folder: Path) -> bool:
    """Whether files can be made in a folder, or in what is there of the way to it."""
    while not folder.exists():
        folder = folder.parent
    return os.access(folder, os.W_OK)


def _numbers(version_text: str) -> list[int]:
    """2.13.0+cpu as [2, 13, 0], without zeros at the end: 2.0 is 2."""
    numbers = [int(part) for part in re.findall(r"\d+", version_text.split("+")[0])]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return numbers
