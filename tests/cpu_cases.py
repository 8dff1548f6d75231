"""What the tests of the CPU's compiled path have in common: a cell, a camera, a comparison."""

import math

import numpy as np
import torch

from donerf import Camera, Intrinsics, RenderOptions, ViewCell

CELL = ViewCell((1.0, -2.0, 0.5), (1.0, 1.0, 1.0), 0.9, (0.5, 20.0), (-0.1, 19.0))
EXACT = RenderOptions(adaptive=False, shared_oracle=False)


def camera(width: int = 37, height: int = 23) -> Camera:
    pose = np.eye(4)
    pose[:3, 3] = [1.2, -1.9, 0.4]
    return Camera(pose, Intrinsics.from_fov(width, height, 1.2))


def psnr(a: torch.Tensor, b: torch.Tensor) -> float:
    """Of 8-bit pictures, in dB."""
    return -10 * math.log10(float((a.float() - b.float()).square().mean()) / 255**2 + 1e-12)
