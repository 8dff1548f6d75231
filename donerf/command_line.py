"""Reads command lines; what is wrong with one is said in a sentence, not in a box of lines."""

from __future__ import annotations

import functools
import io
import re
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr
from typing import Any

import tyro

from donerf.command import unknown_words

_READINGS = (
    (
        r"Error parsing (\S+): invalid literal for int.*?: (.*)",
        r"\1 must be a whole number, got \2",
    ),
    (r"Error parsing (\S+): could not convert .*?: (.*)", r"\1 must be a number, got \2"),
    (
        r"invalid choice (.*) for argument '(.*)'. Expected .*\((.*?),?\)",
        r"\2 must be one of \3; got \1",
    ),
    (
        r"Error parsing settings\.(\S+): \d+ validation .*? for \S+ (\S+) Input should (.*?) "
        r"\[type=.*?input_value=(.*?), input_type.*",
        r"--\1.\2 must \3, got \4",
    ),
    (r"Missing value for argument '(.*)'. Expected 1 values", r"\1 must have a value"),
    (r"Missing value for argument '(.*)'. Expected (\d+) values", r"\1 must have \2 values"),
)
"""What tyro says, and how it is said here."""


def read_command_line(target: Any, arguments: Sequence[str], prog: str, **how: Any) -> Any:
    """`tyro.cli`, but a wrong command line raises ValueError with one sentence."""
    said = io.StringIO()
    try:
        with redirect_stderr(said):
            return tyro.cli(target, args=list(arguments), prog=prog, **how)
    except SystemExit as ending:
        if not ending.code:  # --help
            raise
    raise ValueError(sentence_of_box(said.getvalue(), prog))


def call_with_command_line(
    command: Callable[..., int | None], arguments: Sequence[str], prog: str
) -> int | None:
    """Call a function whose parameters are the options of a command."""

    # The call comes after the reading, so that nothing that it says is taken for a reading's fault.
    @functools.wraps(command)
    def later(*args: Any, **kwargs: Any) -> Callable[[], int | None]:
        return functools.partial(command, *args, **kwargs)

    return read_command_line(later, arguments, prog)()


def sentence_of_box(box: str, prog: str) -> str:
    """What stands in a box that tyro draws around an error, as one sentence."""
    plain = re.sub(r"\x1b\[[\d;]*m", "", box)  # In a terminal it is colored.
    inside = [line.strip("│").removeprefix(" ").rstrip() for line in plain.splitlines()]
    lines = [line for line in inside if not line.startswith(("╭", "╰"))]
    first, *others = re.split(r"^─+\n", "\n".join(lines), flags=re.MULTILINE)
    what, more = " ".join(first.split()).rstrip("."), "".join(others[:1])
    # An indented line of the rest begins with an option: the nearest one, or the one in question.
    option = re.search(r"^ {4}([^\s,]+),? ?(.*)$", more, re.MULTILINE)
    if unknown := re.match(r"Unrecognized options: (.*)", what):
        return unknown_words(unknown[1].split(", "), prog, option[1] if option else None)
    if what.startswith("Missing from"):
        needed = re.findall(r"^ {4}(?:-\w .*?, )?(\S.*)$", first, re.MULTILINE)
        what = f"{prog} needs {' and '.join(needed)}"
    elif option and (several := re.match(r"Error parsing .*?: .*?\[('.*?')\]", what)):
        what = f"{option[1]} must be {option[2]}, got {several[1].replace(',', '')}"
    elif place := re.match(r"Missing value for argument '(\w+)'", what):
        what = f"{prog} needs {place[1].upper()}"
    for pattern, reading in _READINGS:
        what = re.sub(f"^{pattern}$", reading, what)
    return f"{what}; {prog} --help explains the options"
