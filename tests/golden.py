"""Golden pictures: what was looked at once and found right; a failure writes what differs.

`GOLDEN=write pytest` writes new ones. Look at them before they are committed.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from PIL import Image

FOLDER = Path(__file__).resolve().parent / "golden"


def check_picture(
    name: str, pixels: np.ndarray, mean: float, folder: Path = FOLDER, is_new: bool = False
) -> None:
    """Compare with the golden picture of that name.

    pixels:  (H, W, 3) uint8
    mean:    how far the pixels may be off on average, in steps of 256
    """
    path = folder / f"{name}.png"
    if is_new or os.environ.get("GOLDEN") == "write":
        folder.mkdir(exist_ok=True)
        Image.fromarray(pixels).save(path)
        return
    expected = np.asarray(Image.open(path).convert("RGB"))
    assert expected.shape == pixels.shape, f"{name} has another size than {path}"
    difference = np.abs(pixels.astype(int) - expected)
    if difference.mean() > mean:
        failed = folder / "failed"
        failed.mkdir(exist_ok=True)
        amplified = (difference * 4).clip(0, 255).astype(np.uint8)
        for what, values in (
            ("actual", pixels),
            ("expected", expected),
            ("difference", amplified),
        ):
            Image.fromarray(values).save(failed / f"{name}-{what}.png")
        raise AssertionError(f"{name} differs by {difference.mean():.2f} on average, see {failed}")
