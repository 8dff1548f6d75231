"""What every entry point shares: errors as one sentence, exit codes, no traceback."""

from __future__ import annotations

import argparse
import difflib
import re
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

USER_ERROR = 2
INTERRUPTED = 130


def run_as_command(main: Callable[[], int | None]) -> None:
    """Run `main` and leave the process with its exit code.

    What a user can mend (a wrong value, a missing or unreadable file, a full disk) ends as one
    line on stderr and exit code 2. Anything else is a fault of ours and keeps its traceback.
    """
    try:
        code = main()
    except (ValueError, OSError) as error:
        print(f"error: {_sentence(error)}", file=sys.stderr)
        code = USER_ERROR
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        code = INTERRUPTED
    sys.stdout.flush()
    sys.exit(code or 0)


def _sentence(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror is not None:
        place = f": {error.filename}" if error.filename else ""
        return f"{error.strerror}{place}"
    return str(error)


class OptionParser(argparse.ArgumentParser):
    """Says what is wrong with a command line in one sentence, for the caller to show."""

    def error(self, message: str) -> NoReturn:
        if unknown := re.match(r"unrecognized arguments: (.*)", message):
            words = unknown[1].split()
            options = [word for word in words if word.startswith("-")]
            known = [one for action in self._actions for one in action.option_strings]
            near = difflib.get_close_matches(options[0], known, n=1, cutoff=0.7) if options else []
            raise ValueError(unknown_words(words, self.prog, *near))
        message = re.sub("^argument (.*?): must", r"\1 must", message).removeprefix("argument ")
        raise ValueError(f"{message}; {self.prog} --help explains the options")


def unknown_words(words: Sequence[str], prog: str, near: str | None = None) -> str:
    """The sentence about words of a command line that no option takes.

    near:  the option that may be meant
    """
    options = [word for word in words if word.startswith("-")]
    what = f"no option {options[0]}" if options else f"nothing to do with '{words[0]}'"
    hint = f", the nearest is {near}" if near else ""
    return f"{prog} has {what}{hint}; {prog} --help explains the options"
