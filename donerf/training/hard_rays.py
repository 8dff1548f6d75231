"""Hard rays: draw pixels more often where the last errors were large."""

from __future__ import annotations

import torch
from torch import Tensor

_BLOCK = 8
"""Pixels across a block: seen often enough for its error to be of this state of the network."""

_CANDIDATES = 4
"""Pixels that are looked up for each one drawn; so many times more often than others, at most, can
a pixel be drawn without being drawn twice."""


class ErrorMap:
    """A running error for each block of the training pictures' pixels.

    A share of the pixels is drawn in proportion to their block's error, the rest evenly. The loss
    is not reweighted for it: hard places count for more, by intention.

    shape:   views, height and width of the pictures
    share:   of the pixels, drawn by error
    errors:  (blocks,); one that was never seen has 1, which is a large one
    """

    def __init__(self, shape: tuple[int, int, int], share: float, device: torch.device) -> None:
        self.views, self.height, self.width = shape
        self.share = share
        self.rows, self.columns = -(-self.height // _BLOCK), -(-self.width // _BLOCK)
        self.errors = torch.ones(self.views * self.rows * self.columns, device=device)

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """Flat indices of pixels, (count,).

        Candidates are drawn evenly and thinned out by their errors, which costs the same however
        many blocks there are. Thinned by equal steps along the sum of what each is worth, few of
        them come twice.
        """
        total, device = self.views * self.height * self.width, generator.device
        shape = (_CANDIDATES * count,)
        candidates = torch.randint(total, shape, device=device, generator=generator)
        errors = self.errors.take(self._block_of(candidates))
        worth = 1 - self.share + self.share * errors / errors.mean()
        summed = worth.cumsum(0)
        start = torch.rand(1, device=device, generator=generator)
        steps = (torch.arange(count, device=device) + start) / count
        chosen = torch.searchsorted(summed, steps * summed[-1])
        return candidates[chosen.clamp_max(len(candidates) - 1)]

    def note(self, pixels: Tensor, errors: Tensor) -> None:
        """Remember what rays through some pixels were wrong by, half of what was known before.

        Where two rays of a step fall into one block, one of them counts.

        pixels:  (R,) flat indices;  errors: (R,) at least 0
        """
        block = self._block_of(pixels)
        known = self.errors.take(block)
        self.errors.put_(block, torch.lerp(known, errors.detach(), 0.5))

    def _block_of(self, pixels: Tensor) -> Tensor:
        line = pixels // self.width  # Products, since remainders cost several times as much.
        view = line // self.height
        column = (pixels - line * self.width) // _BLOCK
        row = (line - view * self.height) // _BLOCK
        return (view * self.rows + row) * self.columns + column
