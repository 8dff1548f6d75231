"""Where the files that travel with the program lie: scenes, the small data set, shaders."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def asset(name: str) -> Path:
    """Find a file or folder that travels with the program, in a checkout or in an installed wheel.

    name:     path below the top of the repository, such as "assets/courtyard.donerf" or
              "shaders/frame.frag"
    returns:  an existing path
    """
    # A checkout has the files beside the package; the wheel carries a copy inside it. The checkout
    # comes first, so that an edited shader is the one that runs.
    places = (_PACKAGE.parent / name, _PACKAGE / "_bundled" / name)
    for place in places:
        if place.exists():
            return place
    raise FileNotFoundError(
        f"'{name}' must travel with the program, but is neither {places[0]} nor {places[1]}; "
        "check the name, or install the program again"
    )


def default_scene() -> Path:
    """The scene that is shown when none is named."""
    return asset("assets/courtyard.donerf")
