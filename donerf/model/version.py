"""Which networks these are: a digest of the code that says what their numbers mean."""

from __future__ import annotations

import ast
import hashlib
import io
import tokenize
from functools import cache
from pathlib import Path
from typing import TypeGuard

_PACKAGE = Path(__file__).resolve().parent.parent
_FOLDERS = ("geometry", "model")


@cache
def code_version() -> str:
    """Of the networks and of the pipeline around them; comments and docstrings do not count."""
    digest = hashlib.sha256()
    for folder in _FOLDERS:
        for file in sorted((_PACKAGE / folder).glob("*.py")):
            digest.update(f"{folder}/{file.name}\n".encode())
            digest.update(without_prose(file.read_text(encoding="utf-8")).encode())
    return digest.hexdigest()[:12]


def without_prose(source: str) -> str:
    """Python's lines without comments, docstrings and empty lines.

    As they stand, for every version of Python to agree on: a tree that is written out again
    quotes strings as each likes.
    """
    lines = source.splitlines()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            lines[row - 1] = lines[row - 1][:column]
    for node in ast.walk(ast.parse(source)):
        if _is_prose(node):
            first, last = node.lineno - 1, node.end_lineno or node.lineno
            lines[first:last] = [""] * (last - first)
    return "\n".join(line.rstrip() for line in lines if line.strip())


def _is_prose(statement: ast.AST) -> TypeGuard[ast.Expr]:
    """Whether it is a string that nobody reads: of a module, class, function or field."""
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )
