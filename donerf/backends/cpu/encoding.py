"""Positional encoding of many vectors, a row each, in columns that suit the machine."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from donerf.backends.cpu.arithmetic import compiled, sine, stored

_LANES = 16
"""The number of columns is a multiple of it."""
_BLOCK = 16
"""Vectors that are encoded at once; their angles stay in the nearest cache."""


@dataclass(frozen=True)
class EncodedColumns:
    """Which number of which encoding stands in which column, over channels side by side.

    Sines and cosines come first, then the channels themselves, then zeros. A column is
    sin(multiple * vector[channel] + quarter * pi).

    channels:   (columns,) int32
    multiples:  (columns,) float32, 0 for no wave
    quarters:   (_BLOCK * columns,) float32, 0.5 where a column is a cosine, once a vector
    plain:      (C,) columns that hold the channels themselves
    places:     (columns,) the same numbers' places in `model.encoding.encode`'s outputs, those of
                several encodings one after the other; -1 for zeros
    """

    channels: np.ndarray
    multiples: np.ndarray
    quarters: np.ndarray
    plain: np.ndarray
    places: np.ndarray

    @classmethod
    def of(cls, *frequencies: int) -> EncodedColumns:
        """Columns for vectors of 3 numbers side by side, each encoded with its frequencies."""
        waves: list[tuple[int, float, float, int]] = []
        plain: list[int] = []
        before = 0
        for i, count in enumerate(frequencies):
            for k in range(count):
                for axis in range(3):
                    place = before + 3 * (1 + k) + axis
                    waves.append((3 * i + axis, 2.0**k, 0.0, place))
                    waves.append((3 * i + axis, 2.0**k, 0.5, place + 3 * count))
            plain += range(before, before + 3)
            before += 3 * (1 + 2 * count)
        used = len(waves) + len(plain)
        columns = -(-used // _LANES) * _LANES
        waves += [(0, 0.0, 0.0, place) for place in plain]
        waves += [(0, 0.0, 0.0, -1)] * (columns - used)
        channels, multiples, quarters, places = zip(*waves, strict=True)
        return cls(
            np.array(channels, np.int32),
            np.array(multiples, np.float32),
            np.tile(np.array(quarters, np.float32), _BLOCK),
            np.arange(used - len(plain), used),
            np.array(places),
        )

    def __len__(self) -> int:
        return len(self.channels)

    def weights(self, weight: Tensor) -> Tensor:
        """A layer's weights (outputs, encoded size) for these columns: (outputs, columns)."""
        padded = torch.cat((weight, weight.new_zeros(len(weight), 1)), dim=1)
        return padded[:, torch.from_numpy(self.places)]

    def encode(self, vectors: np.ndarray, first: int, rows: np.ndarray) -> None:
        """Encode vectors (C, N) from `first` on into rows (count, columns).

        vectors:  float32
        rows:     float32, or bf16 as int16
        """
        count = min(len(rows), vectors.shape[1] - first)
        _encode_rows(
            vectors,
            first,
            count,
            self.channels,
            self.multiples,
            self.quarters,
            self.plain,
            rows.reshape(-1),
        )


@compiled
def _encode_rows(vectors, first, count, channels, multiples, quarters, plain, rows):
    columns = len(channels)
    vector = np.empty(len(plain), np.float32)
    angles = np.empty(_BLOCK * columns, np.float32)
    for begin in range(0, count, _BLOCK):
        size = min(_BLOCK, count - begin)
        for i in range(size):
            for c in range(len(plain)):
                vector[c] = vectors[c, first + begin + i]
            part = angles[i * columns : (i + 1) * columns]
            for j in range(columns):
                part[j] = vector[channels[j]] * multiples[j]
        # One long loop over many vectors, so that little is left over beside full registers.
        out = rows[begin * columns : (begin + size) * columns]
        for j in range(len(out)):
            out[j] = stored(sine(angles[j], quarters[j]), out)
        for c in range(len(plain)):
            for i in range(size):
                value = vectors[c, first + begin + i]
                rows[(begin + i) * columns + plain[c]] = stored(value, rows)
