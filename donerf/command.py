"""What every entry point shares: errors as one sentence, exit codes, no traceback."""

from __future__ import annotations

import sys
from collections.abc import Callable

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
