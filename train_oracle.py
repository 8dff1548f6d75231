"""Train a scene's depth oracle: where along each ray its few samples belong.

    python train_oracle.py configs/courtyard_small.toml
    python train_oracle.py configs/courtyard_small.toml --resume
    python train_oracle.py configs/courtyard_small.toml --oracle.width 256 --run-folder runs/wide

The first of the two trainings. It needs renders with depth (docs/data-format.md) and writes
checkpoints into runs/<config's name>/oracle. Ctrl-C saves; --resume goes on. Then run
train_shader.py with the same config.
"""

import sys

from donerf.command import run_as_command
from donerf.recipes import oracle_recipe


def main() -> None:
    """Train as the command line says."""
    oracle_recipe(sys.argv[1:], __doc__ or "", "python train_oracle.py")


if __name__ == "__main__":
    run_as_command(main)
