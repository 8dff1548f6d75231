"""Which networks these are: a digest of the code that says what their numbers mean."""

from __future__ import annotations

import ast
import hashlib
from functools import cache
from pathlib import Path

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
    """Python as it would be written without comments, docstrings and choice of layout."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [part for part in body if not _is_prose(part)] or [ast.Pass()]  # type: ignore[attr-defined]
    return ast.unparse(tree)


def _is_prose(statement: ast.AST) -> bool:
    """Whether it is a string that nobody reads: of a module, class, function or field."""
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )
