"""Float32 arithmetic for compiled loops: short and without branches, so that it becomes vectors.

The C library's functions cannot be called on sixteen numbers at once. These polynomials can; they
are fitted at Chebyshev points and exact to about 1e-6, far below what a bf16 product or an 8-bit
color keeps.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numba
import numpy as np
from numba.core import config, types
from numba.extending import overload

f32 = np.float32
"""numba computes in float64 as soon as a plain Python number takes part."""

_SETTINGS = {
    "nogil": True,  # Tiles are rendered by threads.
    "error_model": "numpy",
    # Multiply-adds may be fused; nothing here depends on NaN, infinity or the sign of zero.
    "fastmath": {"contract", "nnan", "ninf", "nsz"},
}


def compiled(function: Callable[..., Any]) -> Any:
    """Compile a loop over arrays when it is first called; once a machine, then read from disk."""
    before = getattr(config, "CACHE_DIR", "")
    setattr(config, "CACHE_DIR", str(_cache_folder()))  # noqa: B010  (made at run time)
    try:
        return numba.njit(function, cache=True, **_SETTINGS)
    except (RuntimeError, OSError):  # No folder of the user's may be written.
        return numba.njit(function, **_SETTINGS)
    finally:
        setattr(config, "CACHE_DIR", before)  # noqa: B010


@cache
def _cache_folder() -> Path:
    """Where machine code lies: a folder of its own for each state of these sources.

    numba looks at a function's own file alone, and would go on with the old code of one that it
    calls.
    """
    here = Path(__file__).parent
    digest = hashlib.sha256()
    for source in sorted((*here.glob("*.py"), here.parent / "sample_counts.py")):
        digest.update(source.read_bytes())
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    base = Path(getattr(config, "CACHE_DIR", "") or Path(home) / "donerf")
    return base / f"loops-{digest.hexdigest()[:16]}"


_ONE = f32(1)
_HALF = f32(0.5)
LOG2_E = f32(1.4426950408889634)
_ROUNDING = f32(12582912)
"""1.5 * 2^23: added and subtracted again, it leaves the nearest integer."""
_LARGEST_EXPONENT = f32(126)

_E0, _E1, _E2 = f32(1.0), f32(0.69314721), f32(0.24022107)
_E3, _E4, _E5 = f32(0.05550327), f32(0.00967604), f32(0.00134004)

_L0, _L1, _L2, _L3 = f32(1.44269496), f32(-0.72135276), f32(0.48092404), f32(-0.36024199)
_L4, _L5, _L6, _L7 = f32(0.28707561), f32(-0.24882181), f32(0.23420985), f32(-0.14620353)
_SQRT_HALF_BITS = 0x3F3504F3

_ONE_OVER_PI = f32(0.3183098861837907)
_PI_1, _PI_2, _PI_3 = f32(3.140625), f32(9.67502593994140625e-4), f32(1.509957990978376e-7)
"""pi in three parts, the first two short enough that their multiples are exact."""
_S0, _S1, _S2 = f32(1.0), f32(-0.16666658), f32(0.008333051)
_S3, _S4 = f32(-0.00019809046), f32(2.6051663e-06)
# sin(pi f) for |f| <= 1/2, to 7e-5.
_H0, _H1, _H2 = f32(3.14064), f32(-5.1369052), f32(2.2995472)


@compiled
def exp2(x):
    """2^x; x is clamped to +-126."""
    x = min(max(x, -_LARGEST_EXPONENT), _LARGEST_EXPONENT)
    n = (x + _ROUNDING) - _ROUNDING
    f = x - n
    power = _E0 + f * (_E1 + f * (_E2 + f * (_E3 + f * (_E4 + f * _E5))))
    return power * np.int32((np.int32(n) + 127) << 23).view(np.float32)


@compiled
def log2(x):
    """log2(x) of a positive, normal number."""
    bits = np.int32(f32(x).view(np.int32) - _SQRT_HALF_BITS)
    exponent = np.int32(bits >> 23)
    # The mantissa lies in [sqrt(1/2), sqrt(2)), where the series below holds.
    m = np.int32(f32(x).view(np.int32) - np.int32(exponent << 23)).view(np.float32) - _ONE
    high = _L4 + m * (_L5 + m * (_L6 + m * _L7))
    series = _L0 + m * (_L1 + m * (_L2 + m * (_L3 + m * high)))
    return f32(exponent) + m * series


@compiled
def sigmoid(x):
    """1 / (1 + e^-x)."""
    return _ONE / (_ONE + exp2(-x * LOG2_E))


@compiled
def softplus_log2(x):
    """softplus(x) / ln 2 = log2(1 + e^x)."""
    return log2(_ONE + exp2(x * LOG2_E))


@compiled
def sine(x, quarter):
    """sin(x) for quarter = 0, cos(x) for quarter = 0.5; |x| up to some thousands."""
    n = (x * _ONE_OVER_PI + quarter + _ROUNDING) - _ROUNDING
    half_turns = n - quarter
    r = ((x - half_turns * _PI_1) - half_turns * _PI_2) - half_turns * _PI_3
    z = r * r
    value = r * (_S0 + z * (_S1 + z * (_S2 + z * (_S3 + z * _S4))))
    # Odd numbers of half turns change the sign.
    return np.int32(f32(value).view(np.int32) ^ np.int32(np.int32(n) << 31)).view(np.float32)


@compiled
def _rough_sine(x, quarter):
    """As `sine`, to 1e-4: less than bf16 rounds away."""
    half_turns = x * _ONE_OVER_PI + quarter
    n = (half_turns + _ROUNDING) - _ROUNDING
    f = half_turns - n
    z = f * f
    value = f * (_H0 + z * (_H1 + z * _H2))
    return np.int32(f32(value).view(np.int32) ^ np.int32(np.int32(n) << 31)).view(np.float32)


def sine_for(numbers, x, quarter):
    """As `sine`, as exactly as an array of these numbers can hold it."""
    raise NotImplementedError("for compiled loops only")


@overload(sine_for)
def _sine_for(numbers, x, quarter):
    if numbers.dtype == types.float32:
        return lambda numbers, x, quarter: sine(x, quarter)
    return lambda numbers, x, quarter: _rough_sine(x, quarter)


def stored(value, numbers):
    """A float32 as it stands in an array: itself, or the upper half of its bits, rounded to even.

    numbers:  float32, or int16, which holds bf16; NumPy has no such type
    """
    raise NotImplementedError("for compiled loops only")


@overload(stored)
def _stored(value, numbers):
    if numbers.dtype == types.float32:
        return lambda value, numbers: value

    def upper_half(value, numbers):
        bits = f32(value).view(np.int32)
        return np.int16((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16)

    return upper_half


def loaded(number):
    """The float32 that `stored` made an array's number of."""
    raise NotImplementedError("for compiled loops only")


@overload(loaded)
def _loaded(number):
    if number == types.float32:
        return lambda number: number
    return lambda number: np.int32(np.int32(number) << 16).view(np.float32)
