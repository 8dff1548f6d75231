"""Where the files that travel with the program lie: scenes, the small data set, shaders."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def asset(name: str) -> Path:
    """Find a file or folder that travels with the program, in a checkout or in an installed wheel.

    name:     path below the top of the repository, such as "assets/courtyard.donerf" or
              "shaders/frame.frag"
    returns:  an existing path
    """
    # The wheel carries a copy inside the package; a checkout has the files beside it.
    bundled = _PACKAGE / "_bundled"
    path = (bundled if bundled.is_dir() else _PACKAGE.parent) / name
    if not path.exists():
        raise FileNotFoundError(
            f"'{name}' must travel with the program, but there is no {path}; "
            "check the name, or install the program again"
        )
    return path


def default_scene() -> Path:
    """The scene that is shown when none is named."""
    return asset("assets/courtyard.donerf")
