"""What a quality benchmark found: one row a scene, method and sample count, as JSON and CSV."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from donerf.evaluation.quality import machine, write_report
from donerf.files import write_text

VERSION = 1
"""Of the file and of what its numbers mean; rows of another version are not read."""


@dataclass(frozen=True)
class QualityRow:
    """One method at one sample count, mean over the views; None was not measured.

    samples:          per ray; evaluations of a network for NeRF
    mflop:            of a pixel's matrix products, counted while they run
    mflop_formula:    2 (oracle + S shading), of all parameters, as the paper counts
    ms:               a frame, on `machine`
    train_seconds:    of all networks that it stands on
    train_tflop:      of the matrix products in these trainings
    train_psnr:       on views that it was trained on; at one sample count
    sha256:           of the networks
    settings:         digest of all that they were trained with but the budget and the machine
    code:             version of the networks' code that measured it
    trained_code:     the same of what trained them, in their order
    note:             why a row was not measured
    """

    scene: str
    method: str
    title: str
    samples: int
    psnr: float | None = None
    ssim: float | None = None
    flip: float | None = None
    edge_psnr: float | None = None
    edge_ssim: float | None = None
    edge_flip: float | None = None
    mflop: float | None = None
    mflop_formula: float | None = None
    ms: float | None = None
    backend: str = ""
    precision: str = ""
    views: int = 0
    size: tuple[int, int] = (0, 0)
    train_seconds: float | None = None
    train_tflop: float | None = None
    train_psnr: float | None = None
    train_steps: str = ""
    sha256: str = ""
    settings: str = ""
    code: str = ""
    trained_code: str = ""
    machine: str = ""
    is_ablation: bool = False
    is_bound: bool = False
    note: str = ""

    @property
    def is_measured(self) -> bool:
        """Whether there are numbers in it."""
        return not self.note

    def differences(self, other: QualityRow) -> list[str]:
        """What keeps two rows of one method from saying the same."""
        return [
            what
            for what, names in _TERMS.items()
            if any(getattr(self, name) != getattr(other, name) for name in names)
        ]

    def is_same_measurement(self, other: QualityRow) -> bool:
        """Whether both say how the same networks do on the same views."""
        places = ("scene", "method", "samples")
        is_there = all(getattr(self, name) == getattr(other, name) for name in places)
        return is_there and not self.differences(other)


_TERMS = {
    "settings": ("settings",),
    "networks": ("sha256",),
    "code of the networks": ("code",),
    "views": ("views", "size"),
    "renderer": ("backend", "precision"),
}


def machine_name() -> str:
    """What a row's milliseconds were measured on."""
    found = machine()
    return f"{found['gpu'] or found['cpu']}, {found['threads']} threads, torch {found['torch']}"


def write_rows(rows: Sequence[QualityRow], folder: Path) -> None:
    """Write results.json and results.csv."""
    values = [asdict(row) for row in rows]
    write_report(
        {"version": VERSION, "split": "test", "machine": machine(), "rows": values},
        folder / "results.json",
    )
    text = io.StringIO()
    table = csv.DictWriter(text, [f.name for f in fields(QualityRow)], lineterminator="\n")
    table.writeheader()
    table.writerows(
        {key: "" if value is None else value for key, value in row.items()} for row in values
    )
    write_text(folder / "results.csv", text.getvalue())


def read_rows(folder: Path) -> list[QualityRow]:
    """Rows of an earlier run, none where there was none.

    Raises ValueError for a file that another version wrote, or nobody.
    """
    path = folder / "results.json"
    if not path.exists():
        return []
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        version = found["version"]
        if version == VERSION:
            return [_row(values) for values in found["rows"]]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path} must hold the rows of a quality benchmark, it cannot be read ({error!r}); "
            "move it away, or name another folder with --out"
        ) from None
    raise ValueError(
        f"{path} must have version {VERSION}, it has {version!r}: its numbers mean something else "
        "and are not mixed with new ones; move it away, or name another folder with --out"
    )


def _row(values: dict[str, Any]) -> QualityRow:
    row = QualityRow(**values)
    width, height = row.size  # JSON has lists alone.
    return replace(row, size=(width, height))
