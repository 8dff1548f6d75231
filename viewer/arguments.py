"""The viewer's command line, checked. Imports nothing heavy, so that `--help` answers at once."""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from donerf.command import OptionParser

WINDOW_SIZE = (1024, 640)
FILM_SIZE = (400, 300)
FILM_FRAMES = 120
SAMPLES = 4
MAX_SAMPLES = 256
MAX_EDGE = 16_384
FPS = 24
MAX_FPS = 240
# RenderMode says the same; it stands on torch, which takes seconds to import.
MODES = (
    "color",
    "depth",
    "oracle-depth",
    "entropy",
    "sample-places",
    "normals",
    "opacity",
    "error",
)
SPLITS = ("train", "val", "test")
TRANSFERS = ("auto", "interop", "pinned", "plain")

DESCRIPTION = """\
Fly through a neural scene in a window or, where there is no display, film the same flight.

In the window: W A S D to fly, E and Q up and down, drag to look around, - and = for fewer and
more samples per ray, Ctrl+Q to quit. All keys: --help-keys"""

EXAMPLES = """\
examples:
  %(prog)s                                     the scene that comes with the program
  %(prog)s mine.donerf --size 1280x720         another scene, in a larger window
  %(prog)s --watch runs/mine                   a training while it runs
  %(prog)s --headless --out fly.mp4            the default flight as a film, without a display
  %(prog)s --headless --path p.json --out fly.mp4
                                               a camera path; Ctrl+S in the window saves one
  %(prog)s --headless --pose p.json --out p.png
                                               one picture; key P in the window saves such a pose

--headless ends with one JSON line on stdout. Errors are one line on stderr and exit code 2."""


@dataclass(frozen=True)
class Arguments:
    """What the user asked for; None where a default depends on something else."""

    file: Path | None
    headless: bool
    out: Path | None
    frames: int | None
    fps: int | None
    size: tuple[int, int] | None
    samples: int | None
    adaptive: bool
    mode: str | None
    pose: Path | None
    free: bool
    data: Path | None
    split: str
    view: int | None
    budget_ms: float | None
    captures: Path
    device: str
    precision: str
    backend: str
    status_file: Path | None
    help_keys: bool
    path: Path | None
    watch: Path | None
    compare: str | int | Path | None
    capture_size: tuple[int, int] | None
    film_size: tuple[int, int] | None
    raw_depth: bool
    transfer: str

    def __post_init__(self) -> None:
        self._check_window_options()
        if self.view is not None and self.data is None:
            raise ValueError("--view is a view of a data set; name that with --data")
        if self.view is not None and self.pose is not None:
            raise ValueError("--view and --pose both say where to start; leave one of them out")
        if self.path is not None and (self.pose is not None or self.view is not None):
            raise ValueError("--path says where to go, so leave --pose and --view out")
        if self.out is None:
            return
        is_picture = self.out.suffix.lower() == ".png"
        if self.pose is not None and not is_picture:
            raise ValueError(f"a pose gives one picture, so --out must end in .png, got {self.out}")
        if is_picture and (self.frames or 1) > 1:
            raise ValueError(
                f"{self.out} holds one picture, but --frames asks for {self.frames}; name an "
                ".mp4, a .gif or a folder"
            )

    def _check_window_options(self) -> None:
        if self.watch is not None:
            if self.file is not None:
                raise ValueError(
                    f"--watch shows the newest checkpoint in {self.watch}; leave {self.file} away"
                )
            if self.headless or self.out is not None:
                raise ValueError(
                    "--watch shows a training in a window; film one of its checkpoints instead"
                )
        if self.compare == "truth" and self.data is None:
            raise ValueError("--compare truth needs a data set; name it with --data")


def parse(argv: Sequence[str], program: str) -> Arguments:
    """Read a command line; raises ValueError with one sentence, exits for --help."""
    return Arguments(**vars(_make_parser(program).parse_args(argv)))


def _make_parser(program: str) -> OptionParser:
    parser = OptionParser(
        program,
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("file", nargs="?", type=Path, help="a .donerf scene; default: the courtyard")
    add("--help-keys", action="store_true", help="list the keys and mouse actions, and exit")

    picture = parser.add_argument_group("picture")
    add = picture.add_argument
    add("--size", type=_size, metavar="WxH", help="pixels (window 1024x640, film 400x300)")
    add("--samples", type=_samples, metavar="N", help=f"per ray, 1 ... {MAX_SAMPLES} ({SAMPLES})")
    add(
        "--adaptive",
        action="store_true",
        help="fewer samples where the oracle is sure, more where it is not",
    )
    add("--mode", choices=MODES, help="what to show (color)")
    add("--pose", type=Path, metavar="JSON", help="start there; with --headless: one picture")
    add("--free", action="store_true", help="allow places outside the trained view cell")

    truth = parser.add_argument_group("ground truth")
    add = truth.add_argument
    add("--data", type=Path, metavar="DIR", help="the scene's data set, to compare with")
    add("--split", choices=SPLITS, default="test", help="which of its views (test)")
    add("--view", type=_view, metavar="N", help="start at a view, 0 is the first")
    add(
        "--compare",
        type=_compare,
        metavar="WHAT",
        help="split the window: a number of samples, precision, truth, or another .donerf file",
    )

    film = parser.add_argument_group("without a display")
    add = film.add_argument
    add("--headless", action="store_true", help="film the default flight, open no window")
    add(
        "--out",
        type=Path,
        metavar="FILE",
        help="*.mp4, *.gif, a folder of PNGs, or *.png; implies --headless (fly.mp4)",
    )
    add(
        "--frames",
        type=_frames,
        metavar="N",
        help=f"length of the film ({FILM_FRAMES}); in the window: quit after N pictures",
    )
    add("--fps", type=_fps, help=f"speed of the film when it is played ({FPS})")
    add("--path", type=Path, metavar="JSON", help="a camera path in place of the default flight")
    add("--raw-depth", action="store_true", help="save the distances of a picture beside it")

    window = parser.add_argument_group("window")
    add = window.add_argument
    add(
        "--budget-ms",
        type=_budget,
        metavar="MS",
        help="for one picture while moving; the resolution follows (CPU 66, GPU 14)",
    )
    add("--captures", type=Path, default=Path(), metavar="DIR", help="where key P saves pictures")
    add("--capture-size", type=_size, metavar="WxH", help="of these pictures (the window's)")
    add("--film-size", type=_size, metavar="WxH", help="of films made there, Ctrl+E (400x300)")
    add("--watch", type=Path, metavar="RUN", help="show a training while it runs")
    add("--transfer", choices=TRANSFERS, default="auto", help="way of pictures to the window")

    machine = parser.add_argument_group("machine")
    add = machine.add_argument
    add("--device", choices=("auto", "cpu", "cuda"), default="auto")
    add("--precision", choices=("auto", "fp32", "bf16", "fp16", "fp8"), default="auto")
    add("--backend", default="auto", help="which renderer (auto)")
    add("--status-file", type=Path, metavar="JSON", help="keep the viewer's state there, for tests")
    return parser


def _size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d+)x(\d+)", text)
    if match is not None:
        width, height = int(match[1]), int(match[2])
        if 1 <= width <= MAX_EDGE and 1 <= height <= MAX_EDGE:
            return width, height
    raise argparse.ArgumentTypeError(
        f"must be WIDTHxHEIGHT, each 1 ... {MAX_EDGE} pixels, such as 400x300, got '{text}'"
    )


def _samples(text: str) -> int:
    return _whole(text, MAX_SAMPLES)


def _frames(text: str) -> int:
    return _whole(text, 1_000_000)


def _whole(text: str, largest: int) -> int:
    if text.isascii() and text.isdigit() and 1 <= int(text) <= largest:
        return int(text)
    raise argparse.ArgumentTypeError(f"must be a whole number, 1 ... {largest}, got '{text}'")


def _view(text: str) -> int:
    if text.isascii() and text.isdigit():
        return int(text)
    raise argparse.ArgumentTypeError(f"must be a whole number, 0 is the first view, got '{text}'")


def _compare(text: str) -> str | int | Path:
    if text in ("truth", "precision"):
        return text
    if text.isascii() and text.isdigit():
        return _samples(text)
    if text.endswith(".donerf"):
        return Path(text)
    raise argparse.ArgumentTypeError(
        f"must be a number of samples, 'precision', 'truth' or a .donerf file, got '{text}'"
    )


def _fps(text: str) -> int:
    return _whole(text, MAX_FPS)


def _budget(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if 0 < value <= 60_000:
        return value
    raise argparse.ArgumentTypeError(f"must be milliseconds, above 0, up to 60000, got '{text}'")
