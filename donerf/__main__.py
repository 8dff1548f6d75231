"""`python -m donerf` is the `donerf` command."""

from donerf.cli import main

main()
