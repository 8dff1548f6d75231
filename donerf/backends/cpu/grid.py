"""Points by a hash grid, in columns that suit the machine: what `model.hash_grid` looks up.

Level by level, so that its table stays in the core's own cache, and many points at once. Two
features of a corner stand in one integer: one look-up brings both.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numba.core import types
from numba.extending import intrinsic, overload
from torch import Tensor, nn

from donerf.backends.cpu.arithmetic import compiled, f32
from donerf.backends.cpu.encoding import EncodedColumns, weights_at
from donerf.model.encoding import encoded_size
from donerf.model.hash_grid import HashGrid, corners

_ZERO, _HALF, _ONE = f32(0), f32(0.5), f32(1)
i32 = np.int32
"""numba computes in int64 unless each result is told to be shorter."""


@dataclass(frozen=True)
class GridColumns:
    """Which number of an encoded point stands in which column, two of them to a pair.

    Features come first, level by level, an odd one beside a zero; then the point itself and a
    zero, or all columns of its sines and cosines.

    tables:  rows of all levels and pairs of features, one after the other: bf16 in int32, or
             float32 in int64, the first of two in the lower half
    pairs:   (P, 6) where the rows of each pair of features begin and end, cells an edge of its
             grid, steps from row to row along y and z, the mask of rows
    sines:   None where a point has none
    places:  (columns,) the same numbers' places in the trunk's inputs; -1 for zeros
    """

    tables: np.ndarray
    pairs: np.ndarray
    sines: EncodedColumns | None
    places: np.ndarray

    @classmethod
    def of(cls, grid: HashGrid, frequencies: int, dtype: torch.dtype) -> GridColumns:
        """Columns for products in one precision."""
        tables: list[Tensor] = []
        pairs: list[tuple[int, ...]] = []
        places: list[int] = []
        begin, place = 0, encoded_size(3, frequencies)
        for table, cells in zip(grid.tables, grid.cells, strict=True):
            rows, *numbers = _laid_out(table.detach().to("cpu", dtype), cells)
            for first in range(0, rows.shape[1], 2):
                tables.append(rows[:, first : first + 2])
                pairs.append((begin, begin + len(rows), cells, *numbers))
                places += (place + first, place + first + 1 if first + 1 < table.shape[1] else -1)
                begin += len(rows)
            place += table.shape[1]
        sines = EncodedColumns.of(frequencies, room=len(places)) if frequencies else None
        places += [0, 1, 2, -1] if sines is None else sines.places[len(places) :].tolist()
        return cls(
            torch.cat(tables).view(_PAIRS[dtype]).flatten().numpy(),
            np.array(pairs),
            sines,
            np.array(places),
        )

    def __len__(self) -> int:
        return len(self.places)

    def weights(self, weight: Tensor) -> Tensor:
        """A layer's weights (outputs, encoded size) for these columns: (outputs, columns)."""
        return weights_at(self.places, weight)

    def encode(self, vectors: np.ndarray, first: int, rows: np.ndarray) -> None:
        """Encode points (3, N) from `first` on into rows (count, columns).

        vectors:  float32
        rows:     float32, or bf16 as int16
        """
        if self.sines is not None:
            self.sines.encode(vectors, first, rows)
        count = min(len(rows), vectors.shape[1] - first)
        in_pairs = rows.view(self.tables.dtype)
        _encode_rows(vectors, first, count, self.tables, self.pairs, self.sines is None, in_pairs)


_PAIRS = {torch.bfloat16: torch.int32, torch.float32: torch.int64}
"""What two numbers stand in."""


def _laid_out(table: Tensor, cells: int) -> tuple[Tensor, int, int, int]:
    """Rows with features in pairs, steps along y and z, and the mask of rows.

    A grid that fits its table gets edges of powers of 2: what adds up to a row there is what xor
    makes of it, as in a grid that does not fit. So every row is one of the table's, whatever point
    is asked for: one that is no number, too, as networks that went astray place them.
    """
    padded = nn.functional.pad(table, (0, table.shape[1] % 2))
    edge = cells + 1
    if edge**3 <= len(table):
        step = 1 << cells.bit_length()
        cube = padded.new_zeros(step, step, step, padded.shape[1])
        cube[:edge, :edge, :edge] = padded.view(edge, edge, edge, -1)
        return cube.flatten(0, 2), step, step * step, step**3 - 1
    # Of the corner where all indices are 0, and of those beside it along z and y.
    _, step_z, step_y = corners(torch.zeros(3, 1), cells, len(table))[0][:3, 0].tolist()
    return padded, step_y, step_z, len(table) - 1


def _emitted(function: Callable[..., Any]) -> Any:
    """A function of compiled loops that says itself what LLVM gets to see.

    The context is numba's to give; typed as `intrinsic` is, every call would lack an argument.
    """
    return intrinsic(function)


@_emitted
def _read(context, array, index):
    """array[index], from an array that shares no memory with those that `_write` writes.

    LLVM makes vectors of look-ups only where it knows that.
    """

    def generate(context, builder, signature, arguments):
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        number = builder.load(builder.gep(data, [arguments[1]]))
        number.set_metadata("noalias", _written_scope(builder.module))
        return number

    return array.dtype(array, index), generate


@_emitted
def _write(context, array, index, value):
    """array[index] = value, in an array that shares no memory with those that `_read` reads.

    So what was written by this is read in the plain way.
    """

    def generate(context, builder, signature, arguments):
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        store = builder.store(arguments[2], builder.gep(data, [arguments[1]]))
        store.set_metadata("alias.scope", _written_scope(builder.module))
        return context.get_dummy_value()

    return types.void(array, index, array.dtype), generate


def _written_scope(module):
    """What is written by `_write`, by a name of its own."""
    domain = module.add_metadata(["donerf"])
    return module.add_metadata([module.add_metadata(["written", domain])])


def _pair(first, second, pairs):
    """Two float32 as they stand in an array of pairs."""
    raise NotImplementedError("for compiled loops only")


@overload(_pair)
def _pair_for(first, second, pairs):
    def of_float32(first, second, pairs):
        low = np.int64(f32(first).view(np.int32)) & 0xFFFFFFFF
        return np.int64(f32(second).view(np.int32)) << 32 | low

    def of_bf16(first, second, pairs):
        low = i32(_rounded(first) >> 16) & i32(0xFFFF)
        return i32(i32(low) | i32(_rounded(second) & i32(-65536)))

    return of_float32 if pairs.dtype == types.int64 else of_bf16


@compiled
def _rounded(value):
    """A float32's bits, the upper half of them rounded to even."""
    bits = f32(value).view(np.int32)
    return i32(i32(bits + i32(0x7FFF)) + i32(i32(bits >> 16) & i32(1)))


def _first(pair):
    """The first number of a pair."""
    raise NotImplementedError("for compiled loops only")


@overload(_first)
def _first_of(pair):
    if pair == types.int64:
        return lambda pair: i32(pair).view(np.float32)
    return lambda pair: i32(pair << 16).view(np.float32)


def _second(pair):
    """The second number of a pair."""
    raise NotImplementedError("for compiled loops only")


@overload(_second)
def _second_of(pair):
    if pair == types.int64:
        return lambda pair: i32(pair >> 32).view(np.float32)
    return lambda pair: i32(pair & -65536).view(np.float32)


@compiled
def _encode_rows(points, first, count, tables, pairs, has_point, rows):
    """Features of points, and the points themselves where `has_point`, in the first columns."""
    x, y, z = points[0, first:], points[1, first:], points[2, first:]
    column = np.empty(count, rows.dtype)
    for p in range(len(pairs)):
        start, end, cells, step_y, step_z, mask = pairs[p]
        steps = i32(step_y), i32(step_z), i32(mask)
        _interpolate(x, y, z, tables[start:end], i32(cells), steps, column)
        _put(column, rows, p)
    if has_point:
        for i in range(count):
            _write(column, i, _pair(_read(x, i), _read(y, i), column))
        _put(column, rows, len(pairs))
        for i in range(count):
            _write(column, i, _pair(_read(z, i), _ZERO, column))
        _put(column, rows, len(pairs) + 1)


@compiled
def _put(column, rows, place):
    """A column where it belongs in the first rows."""
    flat, stride = rows.reshape(-1), rows.shape[1]
    for i in range(len(column)):
        flat[i * stride + place] = column[i]


@compiled
def _interpolate(x, y, z, table, cells, steps, column):
    """What lies between the eight corners around each point: a pair of features.

    x, y, z:  of N points or more
    table:    rows of one pair
    column:   (N,) out
    """
    step_y, step_z, mask = steps
    edge, last = f32(cells), i32(cells - i32(1))
    for i in range(len(column)):
        scaled_x = _in_cells(_read(x, i), edge)
        scaled_y = _in_cells(_read(y, i), edge)
        scaled_z = _in_cells(_read(z, i), edge)
        low_x = min(i32(scaled_x), last)  # The last cell has the cube's surface too.
        low_y = min(i32(scaled_y), last)
        low_z = min(i32(scaled_z), last)
        u, v, w = scaled_x - f32(low_x), scaled_y - f32(low_y), scaled_z - f32(low_z)
        y0, z0 = i32(low_y * step_y), i32(low_z * step_z)
        y1, z1 = i32(y0 + step_y), i32(z0 + step_z)
        ends = low_x, i32(low_x + i32(1))
        f00, s00 = _along_x(table, ends, i32(y0 ^ z0), mask, u)
        f10, s10 = _along_x(table, ends, i32(y1 ^ z0), mask, u)
        f01, s01 = _along_x(table, ends, i32(y0 ^ z1), mask, u)
        f11, s11 = _along_x(table, ends, i32(y1 ^ z1), mask, u)
        first = _between(_between(f00, f10, v), _between(f01, f11, v), w)
        second = _between(_between(s00, s10, v), _between(s01, s11, v), w)
        _write(column, i, _pair(first, second, column))


@compiled
def _along_x(table, ends, row, mask, share):
    """Both features between two corners that are neighbors along x."""
    a, b = _read(table, i32((ends[0] ^ row) & mask)), _read(table, i32((ends[1] ^ row) & mask))
    return _between(_first(a), _first(b), share), _between(_second(a), _second(b), share)


@compiled
def _in_cells(place, edge):
    """From [-1, 1], or beyond, to [0, edge]."""
    return min(max((place + _ONE) * _HALF, _ZERO), _ONE) * edge


@compiled
def _between(a, b, share):
    return a + share * (b - a)
