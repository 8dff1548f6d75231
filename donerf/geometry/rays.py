"""A bundle of rays."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Rays:
    """Half-lines in world space.

    origins:     (R, 3) float32, scene units
    directions:  (R, 3) float32, unit length
    """

    origins: Tensor
    directions: Tensor

    def __len__(self) -> int:
        return self.origins.shape[0]

    def __getitem__(self, index: slice | Tensor) -> Rays:
        return Rays(self.origins[index], self.directions[index])

    def at(self, t: Tensor) -> Tensor:
        """Points at the distances t.

        t:        (R, S) along each ray from its origin
        returns:  (R, S, 3)
        """
        return torch.addcmul(self.origins[:, None], t[..., None], self.directions[:, None])

    def to(self, device: torch.device | str) -> Rays:
        """The same rays on another device."""
        return Rays(self.origins.to(device), self.directions.to(device))
