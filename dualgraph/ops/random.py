"""Counter-based random bits: Philox4x32-10, and the distributions computed from them.

Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3" (SC 2011). A draw is a
function of (seed, counter) alone, so eager and captured runs, CPU and GPU draw the same numbers.
"""

from __future__ import annotations

from math import pi, prod
from typing import Any

import numpy as np

from ..core import dtypes as dt
from ..core.errors import DTypeError
from ..core.kinds import opaque
from ..core.types import TensorType
from .arithmetic import bitwise_right_shift, cast, multiply, sqrt
from .movement import concat_along, reshape, slice_
from .transcendental import cos, log, sin

_M0, _M1 = 0xD2511F53, 0xCD9E8D57
_W0, _W1 = 0x9E3779B9, 0xBB67AE85
_MASK = 0xFFFFFFFF


def philox(xp: Any, seed: Any, counters: Any) -> Any:
    """(n, 4) words of 32 bits (as uint64) for n 64-bit counters under a 64-bit seed."""
    low = xp.uint64(_MASK)
    c0, c1 = counters & low, counters >> xp.uint64(32)
    c2 = xp.zeros_like(counters)
    c3 = xp.zeros_like(counters)
    k0, k1 = seed & low, seed >> xp.uint64(32)
    for _ in range(10):
        p0, p1 = c0 * xp.uint64(_M0), c2 * xp.uint64(_M1)
        c0, c1, c2, c3 = (p1 >> xp.uint64(32)) ^ c1 ^ k0, p1 & low, (p0 >> xp.uint64(32)) ^ c3 ^ k1, p0 & low
        k0, k1 = (k0 + xp.uint64(_W0)) & low, (k1 + xp.uint64(_W1)) & low
    return xp.stack((c0, c1, c2, c3), axis=-1)


def blocks_for(words: int) -> int:
    """Counter values that `words` 32-bit words use up."""
    return -(-words // 4)


def _samples(rng: Any) -> list[Any]:
    return [
        ((np.array([7, 3], dtype=np.uint64),), {"size": 10}),
        ((np.array([[7, 3], [7, 6]], dtype=np.uint64),), {"size": 5}),
    ]


@opaque(name="random_bits", samples=_samples)
def random_bits(xp, state, size):
    """`size` words of 32 random bits for the generator state (seed, counter), or for each of several."""
    counters = state[..., 1:] + xp.arange(blocks_for(size), dtype="uint64")
    words = philox(xp, state[..., :1], counters)
    return words.reshape((*state.shape[:-1], 4 * blocks_for(size)))[..., :size].astype("uint32")


@random_bits.type
def _(state, size):
    if state.dtype is not dt.uint64 or state.shape[-1:] != (2,):
        raise DTypeError(f"a generator state is u64[2], not {state}")
    return TensorType(dt.uint32, (*state.shape[:-1], size), state.device)


@random_bits.batch
def _(lift, args, batched, size):
    return random_bits(args[0], size=size)


def words_needed(dtype: dt.DType, size: int) -> int:
    """32-bit words that one draw of `size` uniform numbers takes."""
    return 2 * size if dtype is dt.float64 else size


def uniform(state: Any, shape: tuple[int, ...], dtype: dt.DType, offset: int = 0) -> Any:
    """Numbers ``(offset + i) / 2**b`` in [0, 1) (in (0, 1] with offset 1); b is 24, or 53 for float64."""
    n = prod(shape)
    bits = random_bits(state, size=words_needed(dtype, n))
    if dtype is dt.float64:
        pair = reshape(bits, shape=(2, n))
        high, low = (reshape(_row(pair, i), shape=shape) for i in (0, 1))
        top = cast(bitwise_right_shift(high, 5), dtype="float64")
        rest = cast(bitwise_right_shift(low, 6), dtype="float64")
        return multiply(top * 67108864.0 + rest + offset, 2.0**-53)
    whole = cast(bitwise_right_shift(bits, 8), dtype="float32")
    return reshape(cast(multiply(whole + offset, 2.0**-24), dtype=dtype.name), shape=shape)


def _row(pair: Any, i: int) -> Any:
    return slice_(pair, starts=(i, 0), stops=(i + 1, pair.shape[1]), steps=(1, 1))


def normal(state: Any, second: Any, shape: tuple[int, ...], dtype: dt.DType) -> Any:
    """Standard normal numbers by Box and Muller (1958); `state` gives the radii, `second` the angles."""
    n = prod(shape)
    half = (n + 1) // 2
    compute = dt.float64 if dtype is dt.float64 else dt.float32
    radius = sqrt(multiply(log(uniform(state, (half,), compute, offset=1)), -2.0))
    angle = multiply(uniform(second, (half,), compute), 2 * pi)
    both = concat_along(radius * cos(angle), radius * sin(angle), axis=0)
    drawn = slice_(both, starts=(0,), stops=(n,), steps=(1,)) if 2 * half != n else both
    return cast(reshape(drawn, shape=shape), dtype=dtype.name)
