"""Networks as the kernels read them: folded, padded, in blocks, in 16 bits.

The shading network's hidden layers may be in 8 bits, see `eight_bits.py`. Widths are padded to the
next one that the kernels know; a padded neuron is always 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor, nn

from donerf.backends.cuda.eight_bits import E4M3, Scales, rounded_weights
from donerf.backends.cuda.grid_tables import GridShape
from donerf.backends.folding import fold_oracle_input, split_direction
from donerf.config import CompositingRule
from donerf.geometry.view_cell import ViewCell
from donerf.model.encoding import encoded_size
from donerf.model.oracle import DepthOracle
from donerf.model.shading import ShadingNetwork

CHUNK = 128
"""Columns of a block of weights; wider layers come in two halves."""
OUTPUTS = 16
"""Columns of the shading network's last layer: 4, and padding to the least a product has."""
_WIDTHS = (64, 128, 256)
_LARGEST_FREQUENCIES = 15
"""float16 holds 2^15; more columns than 128 would be too many to multiply at once."""
_LARGEST_BINS = 128
_LARGEST_GRID = 128
"""Columns of a hash grid's features."""

FOURS = (0, 1, 8, 9, 2, 3, 10, 11, 4, 5, 12, 13, 6, 7, 14, 15)
"""The order in which 8-bit activations enter a product, of every 16 columns; see `layers.py`."""

_PART_ROWS = (0, 8, 4)
"""Where the joins of `encode` put the high part of x, y and z; the low part is two rows on."""


@dataclass(frozen=True)
class Encoding:
    """How a vector of three is encoded for the kernels."""

    frequencies: int

    @property
    def columns(self) -> int:
        """Numbers, with padding to a power of two."""
        return max(16, _next_power(encoded_size(3, self.frequencies)))

    def powers(self) -> Tensor:
        """The matrix that turns the parts of a vector into angles, (16, columns) float16."""
        matrix = torch.zeros(16, self.columns)
        for column in range(encoded_size(3, self.frequencies)):
            angle = column // 2  # A sine and the cosine of the same angle stand side by side.
            is_value = angle >= 3 * self.frequencies
            octave, axis = (0, column % 3) if is_value else divmod(angle, 3)
            row = _PART_ROWS[axis]
            matrix[row, column] = matrix[row + 2, column] = 2.0**octave
        return matrix.half()

    def reordered(self, weight: Tensor) -> Tensor:
        """A weight over `donerf.model.encoding.encode` for the kernels' order of columns.

        weight:   (outputs, numbers);  returns (outputs, columns)
        """
        column = torch.arange(6 * self.frequencies, device=weight.device)
        sines = 3 + column // 2 + column % 2 * (3 * self.frequencies)
        order = torch.cat((sines, torch.arange(3, device=weight.device)))
        return _padded(weight[:, order], weight.shape[0], self.columns)


@dataclass(frozen=True)
class LayerShape:
    """The hidden layers of a network.

    width:   with padding
    layers:  those between the first and the last
    """

    width: int
    layers: int

    @property
    def chunk(self) -> int:
        """Columns that are computed at once."""
        return min(self.width, CHUNK)

    @property
    def halves(self) -> int:
        """Chunks in a layer."""
        return self.width // self.chunk


@dataclass(frozen=True)
class OracleShape(LayerShape):
    """What the first kernel knows of the oracle when it is compiled."""

    bins: int
    direction: Encoding
    origin: Encoding
    is_folded: bool

    @property
    def columns(self) -> int:
        """Bins, with padding to a power of two."""
        return max(16, _next_power(self.bins))


@dataclass(frozen=True)
class ShadingShape(LayerShape):
    """What the second kernel knows of the shading network when it is compiled."""

    point: Encoding
    direction: Encoding
    rule: CompositingRule
    grid: GridShape


@dataclass(frozen=True)
class Packed:
    """A network's numbers on the device.

    first:   (halves, inputs, chunk);  hidden: (layers, halves, width, chunk)
    last:    (width, outputs)
    biases:  of all layers, one after another, fp32
    """

    shape: LayerShape
    first: Tensor
    hidden: Tensor
    last: Tensor
    biases: Tensor

    def tensors(self) -> list[Tensor]:
        """Everything but the shape."""
        return [getattr(self, field.name) for field in fields(self) if field.name != "shape"]


@dataclass(frozen=True)
class PackedOracle(Packed):
    """The oracle.

    folded:  (6, width) fp32, the first layer over the ray itself
    """

    shape: OracleShape
    folded: Tensor
    direction_powers: Tensor
    origin_powers: Tensor


@dataclass(frozen=True)
class PackedShading(Packed):
    """The shading network.

    scales:        (layers, width) fp32, what products of 8-bit numbers are multiplied by
    of_direction:  (inputs, OUTPUTS), the last layer's share of the direction
    of_grid:       (halves, columns, chunk), the first layer's share of a hash grid's features
    tables:        the grid's, see `GridShape.packed`;  levels: see `GridShape.levels`
    """

    shape: ShadingShape
    scales: Tensor
    of_direction: Tensor
    point_powers: Tensor
    direction_powers: Tensor
    of_grid: Tensor
    tables: Tensor
    levels: Tensor


def why_not(oracle: DepthOracle, shading: ShadingNetwork | None) -> str | None:
    """What the kernels do not serve about two networks, as a sentence's end; None: all is well."""
    if shading is None:
        return "the scene has no shading network yet"
    if oracle.settings.answer != "bins":
        return "its oracle answers with one depth"
    if shading.settings.shape != "reference":
        return f"its shading network has the shape '{shading.settings.shape}'"
    columns = GridShape.of(shading.grid).columns
    if columns > _LARGEST_GRID:
        return f"its hash grid's features fill {columns} columns, {_LARGEST_GRID} is the most"
    width = max(oracle.settings.width, shading.settings.width)
    if width > _WIDTHS[-1]:
        return f"its layers are {width} wide, {_WIDTHS[-1]} is the most"
    if oracle.settings.bins > _LARGEST_BINS:
        return f"its oracle has {oracle.settings.bins} bins, {_LARGEST_BINS} is the most"
    frequencies = max(
        shading.settings.position_frequencies,
        shading.settings.direction_frequencies,
        *_oracle_frequencies(oracle),
    )
    if frequencies > _LARGEST_FREQUENCIES:
        return f"it encodes {frequencies} frequencies, {_LARGEST_FREQUENCIES} is the most"
    return None


def pack_oracle(oracle: DepthOracle, cell: ViewCell, dtype: torch.dtype) -> PackedOracle:
    """Fold, pad and round an oracle, on the device that it is on."""
    settings = oracle.settings
    first, *middle, last = _linears(oracle.layers)
    direction, origin = (Encoding(frequencies) for frequencies in _oracle_frequencies(oracle))
    is_folded = settings.input == "points"
    shape = OracleShape(
        _served(settings.width), len(middle), settings.bins, direction, origin, is_folded
    )
    weight, bias = first.weight.detach().double(), first.bias
    if is_folded:
        affine = fold_oracle_input(oracle, cell)
        weight, bias = affine.weight, affine.bias
    folded = _padded(weight[:, :6], shape.width, 6)
    if not is_folded:
        split = encoded_size(3, direction.frequencies)
        parts = direction.reordered(weight[:, :split]), origin.reordered(weight[:, split:])
        weight = torch.cat(parts, dim=1)
    biases = [bias, *(layer.bias for layer in middle)]
    return PackedOracle(
        shape,
        first=_blocks(weight, shape, dtype),
        hidden=_hidden_blocks(middle, shape, dtype),
        last=_transposed(last.weight, shape.columns, shape.width, dtype),
        biases=_one_after_another(biases, last.bias, shape.columns, shape.width),
        folded=folded.T.float().contiguous(),
        direction_powers=direction.powers().to(weight.device),
        origin_powers=origin.powers().to(weight.device),
    )


def pack_shading(
    shading: ShadingNetwork,
    rule: CompositingRule,
    dtype: torch.dtype,
    scales: Scales | None = None,
) -> PackedShading:
    """Split, pad and round a shading network of the reference shape, on its device.

    scales:  of its activations, when the hidden layers are to be in 8 bits
    """
    settings = shading.settings
    first, *middle = _linears(shading.trunk)
    point = Encoding(settings.position_frequencies)
    direction = Encoding(settings.direction_frequencies)
    grid = GridShape.of(shading.grid)
    shape = ShadingShape(_served(settings.width), len(middle), point, direction, rule, grid)
    output = split_direction(shading.output, settings.width)
    of_direction = direction.reordered(output.per_ray.weight)
    hidden, product_scales = _hidden_blocks(middle, shape, dtype), torch.zeros(1)
    if scales:
        hidden, product_scales = _blocks_of_8_bits(middle, shape, scales)
    # Activations are that many times what they were; a power of two costs no bit of a weight.
    scales = scales or (1.0,) * (1 + len(middle))
    biases = [layer.bias * scale for layer, scale in zip((first, *middle), scales, strict=True)]
    of_point, of_grid = (first.weight.detach() * scales[0]).tensor_split(
        [encoded_size(3, point.frequencies)], dim=1
    )
    tables = shading.grid.tables if shading.grid else ()
    return PackedShading(
        shape,
        first=_blocks(point.reordered(of_point), shape, dtype),
        hidden=hidden,
        last=_transposed(output.per_sample / scales[-1], OUTPUTS, shape.width, dtype),
        scales=product_scales.to(first.weight.device),
        biases=_one_after_another(biases, output.per_ray.bias, OUTPUTS, shape.width),
        of_direction=_transposed(of_direction, OUTPUTS, direction.columns, dtype),
        point_powers=point.powers().to(of_direction.device),
        direction_powers=direction.powers().to(of_direction.device),
        of_grid=_blocks(grid.reordered(of_grid), shape, dtype),
        tables=grid.packed(tables, dtype).to(of_direction.device),
        levels=grid.levels().to(of_direction.device),
    )


def overwrite(place: Packed, source: Packed) -> bool:
    """Put other numbers where the kernels of a recorded frame look for them.

    returns:  False, with nothing changed, when the shapes differ
    """
    dtypes = [(packed.hidden.dtype, packed.last.dtype) for packed in (place, source)]
    if place.shape != source.shape or dtypes[0] != dtypes[1]:
        return False
    for old, new in zip(place.tensors(), source.tensors(), strict=True):
        old.copy_(new)
    return True


def _oracle_frequencies(oracle: DepthOracle) -> tuple[int, int]:
    """Of direction and origin; a folded layer sees the ray itself, and encodes nothing."""
    if oracle.settings.input == "points":
        return 0, 0
    return oracle.settings.direction_frequencies, oracle.settings.origin_frequencies


def _linears(layers: nn.ModuleList) -> list[nn.Linear]:
    return [layer for layer in layers if isinstance(layer, nn.Linear)]


def _served(width: int) -> int:
    return next(served for served in _WIDTHS if served >= width)


def _next_power(number: int) -> int:
    return 1 << (number - 1).bit_length()


def _padded(weight: Tensor, outputs: int, inputs: int) -> Tensor:
    """A weight (outputs, inputs) with rows and columns of zeros behind it."""
    size = (0, inputs - weight.shape[1], 0, outputs - weight.shape[0])
    return nn.functional.pad(weight.detach(), size)


def _transposed(weight: Tensor, outputs: int, inputs: int, dtype: torch.dtype) -> Tensor:
    """A padded weight as the kernels multiply it, (inputs, outputs)."""
    return _padded(weight, outputs, inputs).T.to(dtype).contiguous()


def _blocks(weight: Tensor, shape: LayerShape, dtype: torch.dtype) -> Tensor:
    """A weight (outputs, inputs) as blocks (halves, inputs, chunk), each in one piece."""
    weight = _padded(weight, shape.width, weight.shape[1])
    return weight.unflatten(0, (-1, shape.chunk)).transpose(1, 2).to(dtype).contiguous()


def _hidden_blocks(layers: list[nn.Linear], shape: LayerShape, dtype: torch.dtype) -> Tensor:
    """All hidden layers, (layers, halves, width, chunk)."""
    blocks = [
        _blocks(_padded(layer.weight, layer.out_features, shape.width), shape, dtype)
        for layer in layers
    ]
    nothing = torch.empty(0, shape.halves, shape.width, shape.chunk, dtype=dtype)
    return torch.stack(blocks) if blocks else nothing


def _blocks_of_8_bits(
    layers: list[nn.Linear], shape: LayerShape, scales: Scales
) -> tuple[Tensor, Tensor]:
    """All hidden layers in e4m3, outputs behind one another and inputs side by side.

    returns:  (layers, halves, halves, chunk outputs, chunk inputs), inputs in the order FOURS;
              (layers, width), what brings each product to the scale of the layer's outputs
    """
    order = torch.arange(shape.width).view(-1, len(FOURS))[:, FOURS].flatten()
    blocks, factors = [], []
    for i, layer in enumerate(layers):
        weight, unit = rounded_weights(_padded(layer.weight, shape.width, shape.width))
        halves = weight.float()[:, order.to(unit.device)].unflatten(1, (-1, shape.chunk))
        blocks.append(halves.unflatten(0, (-1, shape.chunk)).transpose(1, 2))
        factors.append(unit * (scales[i + 1] / scales[i]))
    return torch.stack(blocks).to(E4M3).contiguous(), torch.stack(factors)


def _one_after_another(biases: Sequence[Tensor], last: Tensor, outputs: int, width: int) -> Tensor:
    """All biases, each padded to the width of its layer, fp32."""
    padded = [nn.functional.pad(bias, (0, width - len(bias))).float() for bias in biases]
    return torch.cat((*padded, nn.functional.pad(last, (0, outputs - len(last))).float())).detach()
