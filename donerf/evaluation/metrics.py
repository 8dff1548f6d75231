"""Picture metrics. Pictures are (H, W, 3) uint8 sRGB numpy arrays.

SSIM and FLIP come from kept libraries in the `bench` extra; where it is not installed they are
None.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np

INSTALL_LINE = "pip install 'donerf[bench]'"


def psnr(picture: np.ndarray, truth: np.ndarray) -> float:
    """10 log10(1 / MSE) in dB on 8-bit pictures; infinite where they are equal."""
    error = np.mean(((picture.astype(np.float64) - truth) / 255) ** 2)
    return math.inf if error == 0 else -10 * math.log10(error)


def ssim(picture: np.ndarray, truth: np.ndarray) -> float | None:
    """Structural similarity as Wang et al. state it: Gaussian window of sigma 1.5, per channel.

    None without scikit-image, and for pictures smaller than the window.
    """
    if not has_ssim() or min(picture.shape[:2]) < 11:
        return None
    from skimage.metrics import structural_similarity

    value = structural_similarity(
        picture,
        truth,
        channel_axis=2,
        data_range=255,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
    )
    return float(value)  # type: ignore[arg-type]  # one number unless maps are asked for


def flip(picture: np.ndarray, truth: np.ndarray) -> float | None:
    """Mean LDR-FLIP error at its default 67 pixels per degree; None without flip-evaluator."""
    if not has_flip():
        return None
    import flip_evaluator

    as_float = [np.ascontiguousarray(p, dtype=np.float32) / 255 for p in (truth, picture)]
    reference, test = as_float
    _, mean, _ = flip_evaluator.evaluate(reference, test, "LDR", applyMagma=False)
    return float(mean)


@cache
def has_ssim() -> bool:
    """Whether scikit-image is installed."""
    from importlib.util import find_spec

    return find_spec("skimage") is not None


@cache
def has_flip() -> bool:
    """Whether flip-evaluator is installed."""
    from importlib.util import find_spec

    return find_spec("flip_evaluator") is not None
