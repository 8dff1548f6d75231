"""What both kernels are made of: encodings and layers whose numbers never leave the registers.

A tile of rows goes through all layers of a network in one program. Activations travel packed: two
neighboring 16-bit numbers in one register, because the compiler gives each number that lives from
one iteration to the next a register of its own. Widths above CHUNK go in two halves, so that three
blocks of weights (the one in use, two on their way) fit the shared memory.

With hidden layers in 8 bits (e4m3) four numbers travel in one register. Those that a thread has of
a product's result are not the neighbors that the next product wants from it: they enter it in
another order of columns, and the weights lie in that order too (`packing.FOURS`).
"""
# pyright: reportMissingImports=false, reportGeneralTypeIssues=false, reportArgumentType=false
# pyright: reportAssignmentType=false
# Triton is installed on Linux alone, and its language is typed for its own compiler.

from __future__ import annotations

import triton
import triton.language as tl

EIGHT_BITS = tl.constexpr(tl.float8e4nv)


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
    """relu(x), as many columns in a register as fit: (rows, SIZE) fp32 to uint32.

    dtype:    16 bits or e4m3
    PTX:      use the GPU's instructions for it, which the interpreter does not know
    returns:  (rows, SIZE / 2) or (rows, SIZE / 4)
    """
    if dtype == EIGHT_BITS:
        packed = _relu_in_fours(x, ROWS, SIZE, PTX)
    else:
        packed = _relu_in_pairs(x, ROWS, SIZE, dtype, PTX)
    return packed


@triton.jit
def _relu_in_pairs(
    x, ROWS: tl.constexpr, SIZE: tl.constexpr, dtype: tl.constexpr, PTX: tl.constexpr
):
    """relu(x) in 16 bits, two columns in a register."""
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
def _relu_in_fours(x, ROWS: tl.constexpr, SIZE: tl.constexpr, PTX: tl.constexpr):
    """relu(x) in e4m3: columns 2 i, 2 i + 1, 8 + 2 i and 9 + 2 i of every 16 in one register."""
    even, odd = tl.split(tl.reshape(x, (ROWS, SIZE // 16, 2, 4, 2)))
    a, c = tl.split(tl.permute(even, (0, 1, 3, 2)))
    b, d = tl.split(tl.permute(odd, (0, 1, 3, 2)))
    if PTX:
        packed = tl.inline_asm_elementwise(
            """{
            .reg .b16 low, high;
            cvt.rn.satfinite.relu.e4m3x2.f32 low, $2, $1;
            cvt.rn.satfinite.relu.e4m3x2.f32 high, $4, $3;
            mov.b32 $0, {low, high};
            }""",
            "=r,f,f,f,f",
            [a, b, c, d],
            dtype=tl.uint32,
            is_pure=True,
            pack=1,
        )
    else:
        packed = _e4m3(a) | (_e4m3(b) << 8) | (_e4m3(c) << 16) | (_e4m3(d) << 24)
    return tl.reshape(packed, (ROWS, SIZE // 4))


@triton.jit
def _e4m3(x):
    """The bits of relu(x) in e4m3, rounded to even; the interpreter's own conversion is wrong."""
    x = tl.minimum(tl.maximum(x, 0.0), 448.0)
    bits = x.to(tl.uint32, bitcast=True)
    normal = ((bits + 0x7FFFF + ((bits >> 20) & 1)) >> 20) - ((127 - 7) << 3)
    # Below 2^-6 numbers are 2^-9 apart, as the last bits of 1.5 * 2^14 are.
    small = (x + 24576.0).to(tl.uint32, bitcast=True) & 0xF
    return tl.where(x < 0.015625, small, normal)


@triton.jit
def unpacked(x, ROWS: tl.constexpr, SIZE: tl.constexpr, held: tl.constexpr, dtype: tl.constexpr):
    """What `relu_packed` made, in columns again: uint32 to (rows, SIZE); moves nothing.

    From e4m3 to e4m3 in the order in which the registers hold them; to 16 bits, which are as
    exact, in the columns' own.

    held:  what x is;  dtype: what it becomes
    """
    if held == EIGHT_BITS:
        x = tl.reshape(x, (ROWS, SIZE // 16, 4))
        a, b, c, d = _byte(x, 0), _byte(x, 8), _byte(x, 16), _byte(x, 24)
        if dtype == EIGHT_BITS:
            columns = tl.join(tl.join(a, c), tl.join(b, d))
        else:
            columns = tl.join(tl.join(a, b), tl.join(c, d)).to(dtype)
            columns = tl.permute(columns, (0, 1, 4, 2, 3))
    else:
        even = (x & 0xFFFF).to(tl.uint16).to(dtype, bitcast=True)
        odd = (x >> 16).to(tl.uint16).to(dtype, bitcast=True)
        columns = tl.join(even, odd)
    return tl.reshape(columns, (ROWS, SIZE))


@triton.jit
def _byte(x, SHIFT: tl.constexpr):
    """One of the four e4m3 numbers in each register."""
    return ((x >> SHIFT) & 0xFF).to(tl.uint8).to(EIGHT_BITS, bitcast=True)


@triton.jit
def block(weights, K: tl.constexpr, N: tl.constexpr, STAYS: tl.constexpr = True):
    """A (K, N) block of weights that lies in one piece; one of 8 bits lies transposed, which is the
    only way that the GPU multiplies them.

    STAYS:  whether the compiler may keep it in shared memory over a loop; a volatile load may not
    """
    if weights.dtype.element_ty == EIGHT_BITS:
        place = weights + tl.arange(0, K)[:, None] + tl.arange(0, N)[None, :] * K
    else:
        place = weights + tl.arange(0, K)[:, None] * N + tl.arange(0, N)[None, :]
    return tl.load(place, volatile=not STAYS)


@triton.jit
def multiply(
    left, right, weights, held: tl.constexpr, N: tl.constexpr, CHUNK: tl.constexpr,
    HALVES: tl.constexpr, ROWS: tl.constexpr,
):  # fmt: skip
    """Activations times weights, fp32.

    left, right:  the columns' halves, packed; with one half, the same
    weights:      (HALVES * CHUNK, N)
    held:         what the activations are
    returns:      (rows, N)
    """
    dtype: tl.constexpr = weights.dtype.element_ty
    result = tl.dot(unpacked(left, ROWS, CHUNK, held, dtype), block(weights, CHUNK, N))
    if HALVES == 2:
        second = block(weights + CHUNK * N, CHUNK, N)
        result = tl.dot(unpacked(right, ROWS, CHUNK, held, dtype), second, result)
    return result


@triton.jit
def hidden_layers(
    left, right, weights, scales, biases, LAYERS: tl.constexpr, CHUNK: tl.constexpr,
    HALVES: tl.constexpr, ROWS: tl.constexpr, RESIDENT: tl.constexpr, PTX: tl.constexpr,
):  # fmt: skip
    """All layers between the first and the last, each with its ReLU.

    The loop goes over blocks of outputs, not over layers, and the compiler fetches the next
    blocks while one is multiplied.

    left, right:  as in `multiply`
    weights:      (LAYERS, HALVES outputs, HALVES * CHUNK, CHUNK); e4m3 as `block` says
    scales:       (LAYERS, HALVES * CHUNK) fp32, what an output is multiplied by; for e4m3
    biases:       (LAYERS, HALVES * CHUNK) fp32
    """
    if RESIDENT:
        tl.static_assert(HALVES == 1, "wide layers do not fit the shared memory together")
        for i in tl.static_range(LAYERS):
            layer = weights + i * CHUNK * CHUNK
            left = _outputs(
                left, right, layer, scales + i * CHUNK, biases + i * CHUNK, CHUNK, HALVES, ROWS,
                PTX,
            )  # fmt: skip
    else:
        before = left
        for i in range(LAYERS * HALVES):
            x = _outputs(left, right, weights, scales, biases, CHUNK, HALVES, ROWS, PTX)
            if HALVES == 1:
                left = x
            elif i % 2 == 1:  # A layer's inputs change when all of its outputs are there.
                left = before
                right = x
            before = x
            weights += HALVES * CHUNK * CHUNK
            scales += CHUNK
            biases += CHUNK
    return left, right


@triton.jit
def _outputs(
    left, right, weights, scales, biases, CHUNK: tl.constexpr, HALVES: tl.constexpr,
    ROWS: tl.constexpr, PTX: tl.constexpr,
):  # fmt: skip
    """CHUNK outputs of a layer, after the ReLU, packed."""
    dtype: tl.constexpr = weights.dtype.element_ty
    x = multiply(left, right, weights, dtype, CHUNK, CHUNK, HALVES, ROWS)
    if dtype == EIGHT_BITS:
        x *= tl.load(scales + tl.arange(0, CHUNK))[None, :]
    x += tl.load(biases + tl.arange(0, CHUNK))[None, :]
    return relu_packed(x, ROWS, CHUNK, dtype, PTX)
