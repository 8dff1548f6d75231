"""Picture metrics. Pictures are (H, W, 3) uint8 sRGB numpy arrays.

SSIM and FLIP come from kept libraries in the `bench` extra; where it is not installed they are
None.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np


def psnr(picture: np.ndarray, truth: np.ndarray) -> float:
    """10 log10(1 / MSE) in dB on 8-bit pictures; infinite where they are equal."""
    error = np.mean(((picture.astype(np.float64) - truth) / 255) ** 2)
    return math.inf if error == 0 else -10 * math.log10(error)


def ssim(picture: np.ndarray, truth: np.ndarray) -> float | None:
    """The mean of `ssim_map`, a window's reach from the border left out, as is usual."""
    found = ssim_map(picture, truth)
    return None if found is None else found[0]


def ssim_map(picture: np.ndarray, truth: np.ndarray) -> tuple[float, np.ndarray] | None:
    """Structural similarity as Wang et al. state it: Gaussian window of sigma 1.5, per channel.

    returns:  the mean, and (H, W) by pixel, mean over channels; None without scikit-image, and
              for pictures smaller than the window
    """
    if not has_ssim() or min(picture.shape[:2]) < 11:
        return None
    from skimage.metrics import structural_similarity

    value, by_pixel = structural_similarity(  # type: ignore[misc]  # two, since maps are asked for
        picture,
        truth,
        channel_axis=2,
        data_range=255,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        full=True,
    )
    return float(value), by_pixel.mean(-1)


def flip(picture: np.ndarray, truth: np.ndarray) -> float | None:
    """Mean of `flip_map`."""
    found = flip_map(picture, truth)
    return None if found is None else found[0]


def flip_map(picture: np.ndarray, truth: np.ndarray) -> tuple[float, np.ndarray] | None:
    """LDR-FLIP error at its default 67 pixels per degree; None without flip-evaluator.

    returns:  the mean, and (H, W) by pixel
    """
    if not has_flip():
        return None
    import flip_evaluator

    as_float = [np.ascontiguousarray(p, dtype=np.float32) / 255 for p in (truth, picture)]
    reference, test = as_float
    by_pixel, mean, _ = flip_evaluator.evaluate(reference, test, "LDR", applyMagma=False)
    return float(mean), np.asarray(by_pixel)[..., 0]


@dataclass(frozen=True)
class Scores:
    """One picture against its truth; None was not measured.

    edge_*:  on the edge pixels alone
    """

    psnr: float
    ssim: float | None
    flip: float | None
    edge_psnr: float | None = None
    edge_ssim: float | None = None
    edge_flip: float | None = None


def compare(picture: np.ndarray, truth: np.ndarray, edges: np.ndarray | None = None) -> Scores:
    """All metrics at once; edges: (H, W) bool."""
    similarity, error = ssim_map(picture, truth), flip_map(picture, truth)
    whole = (psnr(picture, truth), similarity and similarity[0], error and error[0])
    if edges is None or not edges.any():
        return Scores(*whole)
    return Scores(
        *whole,
        edge_psnr=psnr(picture[edges], truth[edges]),
        edge_ssim=None if similarity is None else float(similarity[1][edges].mean()),
        edge_flip=None if error is None else float(error[1][edges].mean()),
    )


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
