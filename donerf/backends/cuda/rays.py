"""The rays of a tile of pixels, restarted on the cell's sphere. All numbers are fp32."""
# pyright: reportMissingImports=false

from __future__ import annotations

import triton
import triton.language as tl

from donerf.backends import sample_counts
from donerf.backends.cuda.view import Slot

POSITION = tl.constexpr(int(Slot.POSITION))
ROTATION = tl.constexpr(int(Slot.ROTATION))
INVERSE_FOCAL = tl.constexpr(int(Slot.INVERSE_FOCAL))
COLUMN_OFFSET = tl.constexpr(int(Slot.COLUMN_OFFSET))
ROW_OFFSET = tl.constexpr(int(Slot.ROW_OFFSET))
RADIUS = tl.constexpr(int(Slot.RADIUS))
NEAR = tl.constexpr(int(Slot.NEAR))
LOG_SCALE = tl.constexpr(int(Slot.LOG_SCALE))
LOG_RANGE = tl.constexpr(int(Slot.LOG_RANGE))
FAR = tl.constexpr(int(Slot.FAR))
RING = tl.constexpr(sample_counts.RING)


@triton.jit
def unified_rays(view, index, width, IS_BLOCKS: tl.constexpr):
    """Direction, and origin on the sphere measured from the cell's center, of some pixels.

    view:      the frame's numbers, see view.py
    index:     (rows,) of the pixel, row-major, row 0 on top
    width:     in pixels
    IS_BLOCKS: index and width count blocks of 2x2 pixels, through whose middles the rays go, with
               RING of blocks more around the picture
    returns:   six tensors (rows,): direction x, y, z; origin x, y, z
    """
    column = (index % width).to(tl.float32)
    row = (index // width).to(tl.float32)
    if IS_BLOCKS:
        column = 2 * (column - RING) + 0.5
        row = 2 * (row - RING) + 0.5
    scale = tl.load(view + INVERSE_FOCAL)
    right = (column + tl.load(view + COLUMN_OFFSET)) * scale
    up = -(row + tl.load(view + ROW_OFFSET)) * scale
    pose = view + ROTATION
    x = right * tl.load(pose) + up * tl.load(pose + 1) - tl.load(pose + 2)
    y = right * tl.load(pose + 3) + up * tl.load(pose + 4) - tl.load(pose + 5)
    z = right * tl.load(pose + 6) + up * tl.load(pose + 7) - tl.load(pose + 8)
    shrink = 1.0 / tl.sqrt(x * x + y * y + z * z)
    x, y, z = x * shrink, y * shrink, z * shrink

    place_x = tl.load(view + POSITION)
    place_y = tl.load(view + POSITION + 1)
    place_z = tl.load(view + POSITION + 2)
    radius = tl.load(view + RADIUS)
    b = x * place_x + y * place_y + z * place_z
    inside = radius * radius - place_x * place_x - place_y * place_y - place_z * place_z
    exit_t = -b + tl.sqrt(tl.maximum(b * b + inside, 0.0))
    return x, y, z, place_x + exit_t * x, place_y + exit_t * y, place_z + exit_t * z


@triton.jit
def distance(view, s):
    """Distance along the unified ray of a normalized depth: t = N + a (exp(s L) - 1)."""
    near = tl.load(view + NEAR)
    scale = tl.load(view + LOG_SCALE)
    return near + scale * (tl.exp(s * tl.load(view + LOG_RANGE)) - 1.0)
