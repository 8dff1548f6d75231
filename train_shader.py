"""Train a scene's shading network: what color the samples have that its oracle places.

    python train_shader.py configs/courtyard_small.toml
    python train_shader.py configs/courtyard_small.toml --resume
    python train_shader.py configs/courtyard_small.toml --shading-training.samples 4

The second of the two trainings, after train_oracle.py. One network serves all sample counts
from 1 to 16. It ends with the scene's quality on the test views and one file to fly through,
runs/<config's name>/<config's name>.donerf. Ctrl-C saves; --resume goes on.
"""

import sys

from donerf.command import run_as_command
from donerf.recipes import shading_recipe


def main() -> None:
    """Train as the command line says."""
    shading_recipe(sys.argv[1:], __doc__ or "", "python train_shader.py")


if __name__ == "__main__":
    run_as_command(main)
