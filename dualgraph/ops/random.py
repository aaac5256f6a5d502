"""Counter-based random bits: Philox4x32-10, and the distributions computed from them.

Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3" (SC 2011). A draw is a
function of (seed, counter) alone, so eager and captured runs, CPU and GPU draw the same numbers.
"""

from __future__ import annotations

from math import pi, prod
from typing import Any

import numpy as np

from ..core import dtypes as dt
from ..core.composite import together
from ..core.errors import DTypeError
from ..core.kinds import opaque
from ..core.numbers.symbolic import is_symbolic
from ..core.types import TensorType
from .arithmetic import cast, multiply, sqrt
from .comparison import bitwise_right_shift
from .movement import concat_along, reshape, slice_
from .transcendental import cos, log, sin

FACTORS = 0xD2511F53, 0xCD9E8D57
STEPS = 0x9E3779B9, 0xBB67AE85  # of the keys
ROUNDS = 10
_MASK = 0xFFFFFFFF
_PART = 4096  # blocks worked out together, few enough to stay in the cache
_DIGITS = {dt.float32: 24, dt.float16: 11, dt.bfloat16: 8}  # so that no number rounds up to 1


def philox(xp: Any, seed: Any, counters: Any) -> Any:
    """(..., n, 4) words of 32 bits for (..., n) 64-bit counters under 64-bit seeds (..., 1); all are uint64."""
    mask, half = xp.uint64(_MASK), xp.uint64(32)
    column = (2,) + (1,) * counters.ndim
    factors = xp.asarray(FACTORS, dtype="uint64").reshape(column)
    step = xp.asarray(STEPS, dtype="uint64").reshape(column)
    keys = xp.stack((seed & mask, seed >> half))
    # words 0 and 2 of each block, and words 1 and 3
    even = xp.stack((counters & mask, xp.zeros_like(counters)))
    odd = xp.stack((counters >> half, xp.zeros_like(counters)))
    for _ in range(ROUNDS):
        product = even * factors
        even = (product >> half)[::-1] ^ odd
        even ^= keys
        odd = (product & mask)[::-1]
        keys = (keys + step) & mask
    return xp.stack((even[0], odd[0], even[1], odd[1]), axis=-1).astype("uint32")


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
    blocks = blocks_for(size)
    lead, seed = state.shape[:-1], state[..., :1]
    counters = state[..., 1:] + xp.arange(blocks, dtype="uint64")
    part = _PART if xp is np else max(blocks, 1)
    words = [philox(xp, seed, counters[..., i : i + part]) for i in range(0, max(blocks, 1), part)]
    whole = words[0] if len(words) == 1 else xp.concatenate(words, axis=-2)
    return whole.reshape((*lead, 4 * blocks))[..., :size]


@random_bits.type
def _(state, size):
    if state.dtype is not dt.uint64 or state.shape[-1:] != (2,):
        raise DTypeError(f"a generator state is u64[2], not {state}")
    return TensorType(dt.uint32, (*state.shape[:-1], size), state.device)


@random_bits.batch
def _(lift, args, batched, size):
    return random_bits(args[0], size=size)


@opaque(samples=lambda rng: [((np.array([7, 3], dtype=np.uint64),), {"blocks": 10})])
def advance(xp, state, blocks):
    """The generator state after `blocks` blocks of 128 bits were used."""
    out = state.copy()
    out[..., 1] += xp.uint64(blocks)
    return out


@advance.type
def _(state, blocks):
    return state


@advance.batch
def _(lift, args, batched, blocks):
    return advance(args[0], blocks=blocks)


def words_needed(dtype: dt.DType, size: int) -> int:
    """32-bit words that one draw of `size` uniform numbers takes."""
    return 2 * size if dtype is dt.float64 else size


@together
def uniform(state: Any, shape: tuple[int, ...], dtype: dt.DType, offset: int = 0) -> Any:
    """Numbers ``(offset + i) / 2**b`` in [0, 1) (in (0, 1] with offset 1); b are the digits of the dtype."""
    n = prod(shape)
    bits = random_bits(state, size=words_needed(dtype, n))
    if dtype is dt.float64:
        pair = reshape(bits, shape=(2, n))
        high, low = (reshape(_row(pair, i), shape=shape) for i in (0, 1))
        top = cast(bitwise_right_shift(high, 5), dtype="float64")
        rest = cast(bitwise_right_shift(low, 6), dtype="float64")
        return _scaled(top * 67108864.0 + rest, 53, offset)
    digits = _DIGITS[dtype]
    out = _scaled(cast(bitwise_right_shift(bits, 32 - digits), dtype="float32"), digits, offset)
    return reshape(out if dtype is dt.float32 else cast(out, dtype=dtype.name), shape=shape)


def _scaled(whole: Any, digits: int, offset: int) -> Any:
    return multiply(whole + offset if offset else whole, 2.0**-digits)


def _row(pair: Any, i: int) -> Any:
    return slice_(pair, starts=(i, 0), stops=(i + 1, pair.shape[1]), steps=(1, 1))


@together
def normal(state: Any, second: Any, shape: tuple[int, ...], dtype: dt.DType) -> Any:
    """Standard normal numbers by Box and Muller (1958); `state` gives the radii, `second` the angles."""
    n = prod(shape)
    half = (n + 1) // 2
    compute = dt.float64 if dtype is dt.float64 else dt.float32
    radius = sqrt(multiply(log(uniform(state, (half,), compute, offset=1)), -2.0))
    angle = multiply(uniform(second, (half,), compute), 2 * pi)
    both = concat_along(radius * cos(angle), radius * sin(angle), axis=0)
    even = not is_symbolic(n) and 2 * half == n
    drawn = both if even else slice_(both, starts=(0,), stops=(n,), steps=(1,))
    out = reshape(drawn, shape=shape)
    return out if dtype is compute else cast(out, dtype=dtype.name)
