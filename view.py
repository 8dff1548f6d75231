"""Fly through a scene in a window; where there is no display, film the same flight.

python view.py                                   the scene that comes with the program
python view.py mine.donerf                       another one
python view.py --headless --frames 120 --size 400x300 --samples 4 --out fly.mp4
python view.py --headless --pose p.json --size 400x400 --samples 4 --out p.png
python view.py --help-keys                       keys and mouse
"""

import sys

from donerf.command import run_as_command
from viewer.app import main

if __name__ == "__main__":
    run_as_command(lambda: main(sys.argv[1:]))
