"""Positional encoding of many vectors, a row each, in columns that suit the machine."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from donerf.backends.cpu.arithmetic import compiled, f32, sine_for, stored

_LANES = 16
"""The number of columns is a multiple of it."""
_BLOCK = 16
"""Vectors that are encoded at once; their angles stay in the nearest cache."""
_ZERO = f32(0)


@dataclass(frozen=True)
class EncodedColumns:
    """Which number of which encoding stands in which column, over channels side by side.

    Sines and cosines come first, then the channels themselves, then zeros. A column is
    sin(multiple * vector[channel] + quarter * pi). Before them there may be room for others.

    multiples:  (C, columns) float32: of its channel, 0 for the others; so an angle is a sum of
                products, where picking channels by index would take twice as long as the sines
    quarters:   (_BLOCK * columns,) float32, 0.5 where a column is a cosine, once a vector
    plain:      (C,) columns that hold the channels themselves
    places:     (columns,) the same numbers' places in `model.encoding.encode`'s outputs, those of
                several encodings one after the other; -1 for zeros
    """

    multiples: np.ndarray
    quarters: np.ndarray
    plain: np.ndarray
    places: np.ndarray

    @classmethod
    def of(cls, *frequencies: int, room: int = 0) -> EncodedColumns:
        """Columns for vectors of 3 numbers side by side, each encoded with its frequencies.

        room:  columns to leave to others, which hold zeros
        """
        waves: list[tuple[int, float, float, int]] = [(0, 0.0, 0.0, -1)] * room
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
        by_channel = np.zeros((3 * len(frequencies), columns), np.float32)
        by_channel[channels, range(columns)] = multiples
        return cls(
            by_channel,
            np.tile(np.array(quarters, np.float32), _BLOCK),
            np.arange(used - len(plain), used),
            np.array(places),
        )

    def __len__(self) -> int:
        return self.multiples.shape[1]

    def weights(self, weight: Tensor) -> Tensor:
        """A layer's weights (outputs, encoded size) for these columns: (outputs, columns)."""
        return weights_at(self.places, weight)

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
            self.multiples,
            self.quarters,
            self.plain,
            rows.reshape(-1),
        )


def weights_at(places: np.ndarray, weight: Tensor) -> Tensor:
    """Columns of weights (outputs, inputs) in another order; zeros where the place is -1."""
    padded = torch.cat((weight, weight.new_zeros(len(weight), 1)), dim=1)
    return padded[:, torch.from_numpy(places)]


@compiled
def _encode_rows(vectors, first, count, multiples, quarters, plain, rows):
    channels, columns = multiples.shape
    angles = np.empty(_BLOCK * columns, np.float32)
    for begin in range(0, count, _BLOCK):
        size = min(_BLOCK, count - begin)
        for i in range(size):
            part = angles[i * columns : (i + 1) * columns]
            part[:] = _ZERO
            for c in range(0, channels, 3):
                x = vectors[c, first + begin + i]
                y = vectors[c + 1, first + begin + i]
                z = vectors[c + 2, first + begin + i]
                by_x, by_y, by_z = multiples[c], multiples[c + 1], multiples[c + 2]
                for j in range(columns):
                    part[j] += x * by_x[j] + y * by_y[j] + z * by_z[j]
        # One long loop over many vectors, so that little is left over beside full registers.
        out = rows[begin * columns : (begin + size) * columns]
        for j in range(len(out)):
            out[j] = stored(sine_for(out, angles[j], quarters[j]), out)
        for c in range(len(plain)):
            for i in range(size):
                value = vectors[c, first + begin + i]
                rows[(begin + i) * columns + plain[c]] = stored(value, rows)
