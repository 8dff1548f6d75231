"""What both kernels are made of: encodings and layers whose numbers never leave the registers.

A tile of rows goes through all layers of a network in one program. Activations travel packed: two
neighboring 16-bit numbers in one register, because the compiler gives each number that lives from
one iteration to the next a register of its own. Widths above CHUNK go in two halves, so that three
blocks of weights (the one in use, two on their way) fit the shared memory.
"""
# pyright: reportMissingImports=false, reportGeneralTypeIssues=false, reportArgumentType=false
# pyright: reportAssignmentType=false
# Triton is installed on Linux alone, and its language is typed for its own compiler.

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def encode(
    x, y, z, powers, FREQUENCIES: tl.constexpr, SIZE: tl.constexpr, ROWS: tl.constexpr,
    dtype: tl.constexpr, PTX: tl.constexpr,
):  # fmt: skip
    """Sines and cosines of a vector, then the vector itself; the order is `column_order`'s.

    The angles come from a product with powers of two. Each number goes in as two of 16 bits that
    add up to it, so they are as exact as in fp32, and they leave the product where the next one
    wants its input.

    x, y, z:  (rows,) fp32, at most about 1
    powers:   (16, SIZE) float16
    returns:  (rows, SIZE)
    """
    x_high, y_high, z_high = x.to(tl.float16), y.to(tl.float16), z.to(tl.float16)
    x_low = (x - x_high.to(tl.float32)).to(tl.float16)
    y_low = (y - y_high.to(tl.float32)).to(tl.float16)
    z_low = (z - z_high.to(tl.float32)).to(tl.float16)
    none = tl.zeros_like(x_high)
    high = tl.join(tl.join(x_high, y_high), tl.join(z_high, none))
    low = tl.join(tl.join(x_low, y_low), tl.join(z_low, none))
    parts = tl.join(high, low)
    parts = tl.reshape(tl.join(parts, tl.zeros_like(parts)), (ROWS, 16))
    angles = tl.dot(parts, block(powers, 16, SIZE))
    column = tl.arange(0, SIZE)[None, :]
    turns = angles * 0.15915494 + (column % 2) * 0.25  # a cosine is a sine a quarter turn on
    # The GPU's sine is exact near zero only: whole turns go, by rounding at the last bit's place.
    turns -= (turns + 12582912.0) - 12582912.0
    return tl.where(column < 6 * FREQUENCIES, sine(turns * 6.2831853, PTX), angles).to(dtype)


@triton.jit
def sine(angle, PTX: tl.constexpr):
    """The sine of an angle in [-pi, pi]. By one instruction: tl.sin takes dozens."""
    if PTX:
        return tl.inline_asm_elementwise(
            "sin.approx.f32 $0, $1;", "=f,f", [angle], dtype=tl.float32, is_pure=True, pack=1
        )
    return tl.sin(angle)


@triton.jit
def reciprocal(x, PTX: tl.constexpr):
    """1 / x for positive x. By one instruction: an exact division takes eight."""
    if PTX:
        return tl.inline_asm_elementwise(
            "rcp.approx.ftz.f32 $0, $1;", "=f,f", [x], dtype=tl.float32, is_pure=True, pack=1
        )
    return 1.0 / x


@triton.jit
def sigmoid(x, PTX: tl.constexpr):
    """1 / (1 + exp(-x)); the least that it returns is 1e-35."""
    return reciprocal(1.0 + tl.exp(tl.minimum(-x, 80.0)), PTX)


@triton.jit
def relu_packed(x, ROWS: tl.constexpr, SIZE: tl.constexpr, dtype: tl.constexpr, PTX: tl.constexpr):
    """relu(x) in 16 bits, two columns in a register: (rows, SIZE) fp32 to (rows, SIZE / 2) uint32.

    PTX:  use the GPU's one instruction for it, which the interpreter does not know
    """
    even, odd = tl.split(tl.reshape(x, (ROWS, SIZE // 2, 2)))
    if PTX:
        name: tl.constexpr = "f16x2" if dtype == tl.float16 else "bf16x2"
        return tl.inline_asm_elementwise(
            "cvt.rn.relu." + name + ".f32 $0, $2, $1;",
            "=r,f,f",
            [even, odd],
            dtype=tl.uint32,
            is_pure=True,
            pack=1,
        )
    low = tl.maximum(even, 0.0).to(dtype).to(tl.uint16, bitcast=True).to(tl.uint32)
    high = tl.maximum(odd, 0.0).to(dtype).to(tl.uint16, bitcast=True).to(tl.uint32)
    return low | (high << 16)


@triton.jit
def unpacked(x, ROWS: tl.constexpr, SIZE: tl.constexpr, dtype: tl.constexpr):
    """The inverse: (rows, SIZE / 2) uint32 to (rows, SIZE); costs no instruction."""
    even = (x & 0xFFFF).to(tl.uint16).to(dtype, bitcast=True)
    odd = (x >> 16).to(tl.uint16).to(dtype, bitcast=True)
    return tl.reshape(tl.join(even, odd), (ROWS, SIZE))


@triton.jit
def block(weights, K: tl.constexpr, N: tl.constexpr, STAYS: tl.constexpr = True):
    """A (K, N) block of weights that lies in one piece.

    STAYS:  whether the compiler may keep it in shared memory over a loop; a volatile load may not
    """
    place = weights + tl.arange(0, K)[:, None] * N + tl.arange(0, N)[None, :]
    return tl.load(place, volatile=not STAYS)


@triton.jit
def multiply(
    left, right, weights, N: tl.constexpr, CHUNK: tl.constexpr,
    HALVES: tl.constexpr, ROWS: tl.constexpr,
):  # fmt: skip
    """Activations times weights, fp32.

    left, right:  the columns' halves, packed; with one half, the same
    weights:      (HALVES * CHUNK, N)
    returns:      (rows, N)
    """
    dtype: tl.constexpr = weights.dtype.element_ty
    result = tl.dot(unpacked(left, ROWS, CHUNK, dtype), block(weights, CHUNK, N))
    if HALVES == 2:
        second = block(weights + CHUNK * N, CHUNK, N)
        result = tl.dot(unpacked(right, ROWS, CHUNK, dtype), second, result)
    return result


@triton.jit
def hidden_layers(
    left, right, weights, biases, LAYERS: tl.constexpr, CHUNK: tl.constexpr,
    HALVES: tl.constexpr, ROWS: tl.constexpr, RESIDENT: tl.constexpr, PTX: tl.constexpr,
):  # fmt: skip
    """All layers between the first and the last, each with its ReLU.

    The loop goes over blocks of outputs, not over layers, and the compiler fetches the next
    blocks while one is multiplied.

    left, right:  as in `multiply`
    weights:      (LAYERS, HALVES outputs, HALVES * CHUNK, CHUNK)
    biases:       (LAYERS, HALVES * CHUNK) fp32
    """
    if RESIDENT:
        tl.static_assert(HALVES == 1, "wide layers do not fit the shared memory together")
        for i in tl.static_range(LAYERS):
            layer = weights + i * CHUNK * CHUNK
            left = _outputs(left, right, layer, biases + i * CHUNK, CHUNK, HALVES, ROWS, PTX)
    else:
        before = left
        for i in range(LAYERS * HALVES):
            x = _outputs(left, right, weights, biases, CHUNK, HALVES, ROWS, PTX)
            if HALVES == 1:
                left = x
            elif i % 2 == 1:  # A layer's inputs change when all of its outputs are there.
                left = before
                right = x
            before = x
            weights += HALVES * CHUNK * CHUNK
            biases += CHUNK
    return left, right


@triton.jit
def _outputs(
    left, right, weights, biases, CHUNK: tl.constexpr, HALVES: tl.constexpr,
    ROWS: tl.constexpr, PTX: tl.constexpr,
):  # fmt: skip
    """CHUNK outputs of a layer, after the ReLU, packed."""
    x = multiply(left, right, weights, CHUNK, CHUNK, HALVES, ROWS)
    x += tl.load(biases + tl.arange(0, CHUNK))[None, :]
    return relu_packed(x, ROWS, CHUNK, weights.dtype.element_ty, PTX)
