"""What travels with the program: scenes, the small data set, shaders; and how to install more."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
# The wheel carries a copy inside the package; a checkout has the files beside it.
_BUNDLED = _PACKAGE / "_bundled"


def asset(name: str) -> Path:
    """Find a file or folder that travels with the program, in a checkout or in an installed wheel.

    name:     path below the top of the repository, such as "assets/courtyard.donerf" or
              "shaders/frame.frag"
    returns:  an existing path
    """
    path = (_BUNDLED if _BUNDLED.is_dir() else _PACKAGE.parent) / name
    if not path.exists():
        raise FileNotFoundError(
            f"'{name}' must travel with the program, but there is no {path}; "
            "check the name, or install the program again"
        )
    return path


def default_scene() -> Path:
    """The scene that is shown when none is named."""
    return asset("assets/courtyard_grid.donerf")


def check_scene_file(path: Path) -> None:
    """Raise ValueError or FileNotFoundError, in a sentence, where no scene file lies.

    Reads nothing: a mistyped name is told before torch is imported, which takes seconds.
    """
    if path.is_dir():
        raise ValueError(f"a scene must be a .donerf file, got the folder {path}")
    if not path.exists():
        raise FileNotFoundError(f"no scene file {path}; check the name, or train one (see README)")


def install_line(extra: str) -> str:
    """The command that installs an extra, of this checkout or of the installed program."""
    if _BUNDLED.is_dir():
        return f"pip install 'donerf[{extra}]'"
    checkout = _PACKAGE.parent
    return f"pip install -e '{'.' if checkout == Path.cwd() else checkout}[{extra}]'"
