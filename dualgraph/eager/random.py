"""Random numbers: generators with a counter as state, and draws from them.

A draw reads ``generator.state`` (seed, counter), computes, and last of all writes the counter moved on by
the blocks of 128 bits it used. The state is a tensor written in place like any other, so a captured
function draws what an eager one draws, and a draw that fails leaves the state as it was.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from typing import Any

import numpy as np

from ..core import dtypes as dt
from ..core.composite import together
from ..core.context import state as context
from ..core.context import untraced
from ..core.devices import CPU, Device, as_device
from ..core.errors import ArgumentError, DTypeError, describe
from ..core.numbers.sizing import to_int
from ..core.numbers.symbolic import is_symbolic
from ..core.types import broadcast_shapes
from ..ops import random as rng
from ..ops.arithmetic import add, cast, divide, negative, remainder, where
from ..ops.comparison import bitwise_left_shift, bitwise_or, isfinite, less, logical_and
from ..ops.movement import copy as copy_op
from ..ops.movement import reshape
from ..ops.searching import search_sorted
from ..ops.sorting import sort_along
from ..ops.transcendental import log
from ..ops.transfer import transfer
from . import functions as fn
from . import shapes as sh
from .attach import methods
from .batch import all_examples
from .creation import asarray
from .filling import as_shape
from .inplace import write
from .operands import also_out, as_in, as_operand, astype
from .tensor import Tensor

START = 0x9D0A_5EED
MASK = 0xFFFF_FFFF_FFFF_FFFF


class Generator:
    """A stream of random numbers: a function of its seed and of how many were drawn.

    ``state`` is a uint64 tensor (seed, counter).

    >>> g = dg.Generator().manual_seed(7)
    >>> a = dg.rand(3, generator=g); g.manual_seed(7); bool((dg.rand(3, generator=g) == a).all())
    Generator(seed=7, counter=0)
    True
    """

    _state_attributes = ("state",)  # what a capture counts as read

    def __init__(self, device: Any = "cpu") -> None:
        self.device: Device = as_device(device)
        self.state = Tensor(np.array([START, 0], dtype=np.uint64))

    def manual_seed(self, seed: int) -> Generator:
        """Starts the stream of a seed (any int, taken modulo 2**64) from its beginning."""
        write("manual_seed", self.state, asarray(np.array([int(seed) & MASK, 0], dtype=np.uint64)))
        return self

    def seed(self) -> int:
        """Starts a stream of an unpredictable seed and gives the seed."""
        if context.tracer is not None:
            context.tracer.foreign("source of random seeds")
        chosen = int.from_bytes(os.urandom(8), "little") >> 1
        self.manual_seed(chosen)
        return chosen

    def initial_seed(self) -> int:
        """The seed of the stream."""
        return int(self.state.tolist()[0])

    def get_state(self) -> Tensor:
        """A copy of the state, for `set_state`."""
        return copy_op(self.state)

    def set_state(self, state: Tensor) -> Generator:
        """Goes on from where a state was taken."""
        if state.dtype is not dt.uint64 or state.shape != (2,):
            raise DTypeError(
                describe(
                    "set_state",
                    str(state.tensor_type),
                    "a generator state is u64[2]",
                    "pass what get_state() gave",
                )
            )
        write("set_state", self.state, state)
        return self

    def __repr__(self) -> str:
        seed, counter = self.state.tolist()
        return f"Generator(seed={seed}, counter={counter})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (str(self.device), self.state)


def _restored(device: str, state: Tensor) -> Generator:
    return Generator(device).set_state(state)


default_generator = Generator()


def manual_seed(seed: int) -> Generator:
    """Seeds the default generator, which every draw uses that names no other.

    >>> _ = dg.manual_seed(0)
    >>> a = dg.rand(3)
    >>> _ = dg.manual_seed(0)
    >>> bool((a == dg.rand(3)).all())
    True
    """
    return default_generator.manual_seed(seed)


def seed() -> int:
    """Gives the default generator an unpredictable seed.

    >>> dg.seed() == dg.initial_seed()
    True
    """
    return default_generator.seed()


def initial_seed() -> int:
    """The seed of the default generator.

    >>> _ = dg.manual_seed(7)
    >>> dg.initial_seed()
    7
    """
    return default_generator.initial_seed()


def get_rng_state() -> Tensor:
    """A copy of the default generator's state.

    >>> dg.get_rng_state().shape
    (2,)
    """
    return default_generator.get_state()


def set_rng_state(new_state: Tensor) -> None:
    """Sets the default generator's state.

    >>> state, x = dg.get_rng_state(), dg.rand(2)
    >>> dg.set_rng_state(state)
    >>> bool((dg.rand(2) == x).all())
    True
    """
    default_generator.set_state(new_state)


@contextmanager
def fork_rng(devices: Any = None, enabled: bool = True) -> Iterator[None]:
    """Context: what is drawn or seeded inside leaves the default generator as it was.

    >>> with fork_rng():
    ...     x = dg.manual_seed(3)
    """
    before = get_rng_state()
    try:
        yield
    finally:
        if enabled:
            set_rng_state(before)


# --- drawing -----------------------------------------------------------------------------------


def _moved(state: Tensor, blocks: int) -> Tensor:
    """The state after `blocks` blocks were used."""
    return rng.advance(state, blocks=blocks)


class _Draw:
    """One draw: ``bits``-taking ops read ``here()``; leaving the ``with`` block unharmed moves the counter on."""

    def __init__(self, generator: Generator | None, device: Any) -> None:
        self.generator = generator or default_generator
        self.device = context.device if device is None else as_device(device)
        self.used = 0

    def take(self, words: int) -> Tensor:
        """The state for the next `words` words of 32 bits."""
        state = self.generator.state
        here = _moved(state, self.used) if self.used else state
        blocks = rng.blocks_for(words)
        if context.batching is not None:  # each example of a vmap draws its own
            here, blocks = context.batching.spread(here, blocks)
        self.used += blocks
        return here if self.device is CPU else transfer(here, device=str(self.device))

    def __enter__(self) -> _Draw:
        return self

    def __exit__(self, kind: Any, *rest: Any) -> None:
        if kind is None and (is_symbolic(self.used) or self.used):
            state = self.generator.state
            write("random", state, _moved(state, self.used))


def _floating(op: str, dtype: Any) -> dt.DType:
    chosen = dt.get_default_dtype() if dtype is None else dt.as_dtype(dtype)
    if not chosen.is_floating_point:
        raise DTypeError(
            describe(
                op, chosen.name, "draws floating numbers only", "use randint, or cast the result"
            )
        )
    return chosen


def _asking(out: Tensor, requires_grad: bool) -> Tensor:
    if context.tracer is None and context.batching is None:
        out._parent = out._cell = None  # what it is a view of nobody else has
    return out.requires_grad_() if requires_grad else out


@also_out
def rand(
    *shape: Any, size: Any = None, generator: Generator | None = None, dtype: Any = None, device: Any = None,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """Numbers drawn evenly from [0, 1).

    >>> dg.rand(2, 3).shape
    (2, 3)
    """
    sizes, chosen = as_shape(shape, size), _floating("rand", dtype)
    with _Draw(generator, device) as draw:
        state = draw.take(rng.words_needed(chosen, prod(sizes)))
        out = rng.uniform(state, sizes, chosen)
    return _asking(out, requires_grad)


@also_out
def randn(
    *shape: Any, size: Any = None, generator: Generator | None = None, dtype: Any = None, device: Any = None,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """Standard normal numbers.

    >>> dg.randn(2, 3).shape
    (2, 3)
    """
    sizes, chosen = as_shape(shape, size), _floating("randn", dtype)
    half = (prod(sizes) + 1) // 2
    with _Draw(generator, device) as draw:
        words = rng.words_needed(chosen, half)
        out = rng.normal(draw.take(words), draw.take(words), sizes, chosen)
    return _asking(out, requires_grad)


def _wide_words(draw: _Draw, count: int) -> Tensor:
    """`count` numbers of 64 random bits."""
    return _wide(draw.take(2 * count), count)


@together
def _wide(state: Tensor, count: int) -> Tensor:
    bits = reshape(rng.random_bits(state, size=2 * count), shape=(2, count))
    high, low = (
        cast(reshape(sh.cut(bits, 0, i, i + 1), shape=(count,)), dtype="uint64") for i in (0, 1)
    )
    return bitwise_or(bitwise_left_shift(high, 32), low)


def largest_whole(dtype: dt.DType) -> int:
    """The largest number up to which a dtype holds every whole number."""
    digits = {"float16": 11, "bfloat16": 8, "float32": 24, "float64": 53, "bool": 1}
    if dtype.name in digits:
        return 2 ** digits[dtype.name] - (dtype is dt.bool_)
    return int(np.iinfo(dtype.numpy).max)


@also_out
def randint(
    *args: Any, low: int | None = None, high: int | None = None, size: Any = None, generator: Generator | None = None,
    dtype: Any = None, device: Any = None, requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """Whole numbers drawn evenly from [low, high): ``randint(high, size)`` or ``randint(low, high, size)``.

    >>> bool((dg.randint(5, (100,)) < 5).all())
    True
    """
    given = list(args)
    if size is None and given:
        size = given.pop()
    if high is None and given:
        high = given.pop()
    if low is None:
        low = given.pop() if given else 0
    if high is None or size is None or given:
        raise ArgumentError(
            describe("randint", str(args), "takes (high, size) or (low, high, size)")
        )
    shape, (low, high) = as_shape((size,)), (int(low), int(high))
    if low >= high:
        raise ArgumentError(
            describe("randint", f"{low}, {high}", "there is no number from low up to below high")
        )
    chosen = dt.int64 if dtype is None else dt.as_dtype(dtype)
    with _Draw(generator, device) as draw:
        out = _whole(draw.take(2 * prod(shape)), low, high, shape, chosen)
    return _asking(out, requires_grad)


@together
def _whole(state: Tensor, low: int, high: int, shape: tuple[int, ...], dtype: dt.DType) -> Tensor:
    """Numbers from [low, high)."""
    out = cast(remainder(_wide(state, prod(shape)), high - low), dtype="int64")
    out = add(out, low) if low else out
    return reshape(cast(out, dtype=dtype.name) if dtype is not dt.int64 else out, shape=shape)


@also_out
def randperm(
    n: int, *, generator: Generator | None = None, dtype: Any = None, device: Any = None
) -> Tensor:
    """The numbers below `n` in random order: the order of as many random 64-bit keys.

    >>> sorted(dg.randperm(4).tolist())
    [0, 1, 2, 3]
    """
    with _Draw(generator, device) as draw:
        out = fn.argsort(_wide_words(draw, to_int(n)))
    return out if dtype is None else astype(out, dtype, copy=False)


@also_out
def normal(
    mean: Any = 0.0,
    std: Any = 1.0,
    size: Any = None,
    *,
    generator: Generator | None = None,
    **kind: Any,
) -> Tensor:
    """Normal numbers of a mean and a standard deviation: numbers with a size, or tensors.

    >>> dg.normal(0.0, 1.0, size=(2, 3)).shape
    (2, 3)
    """
    if not isinstance(std, Tensor) and std < 0:
        raise ArgumentError(describe("normal", "", f"the standard deviation is {std}, below 0"))
    if size is None:
        size = broadcast_shapes(*(v.shape for v in (mean, std) if isinstance(v, Tensor)))
        first = mean if isinstance(mean, Tensor) else std
        kind = (
            {"dtype": first.dtype, "device": first.device, **kind}
            if isinstance(first, Tensor)
            else kind
        )
    return randn(size, generator=generator, **kind) * std + mean


@also_out
def bernoulli(p: Any, *, generator: Generator | None = None) -> Tensor:
    """1 with the probability in each element of `p`, else 0; of its dtype.

    >>> dg.bernoulli(dg.asarray([0.0, 1.0]))
    tensor([0., 1.])
    """
    if isinstance(p, (int, float)) and not 0 <= p <= 1:
        raise ArgumentError(describe("bernoulli", "", f"{p} is no probability"))
    p = as_operand(p)
    with untraced():
        given = all_examples(p)
        valid = bool(fn.all(logical_and(given >= 0, given <= 1)))
    if not valid:
        raise ArgumentError(describe("bernoulli", str(p.tensor_type), "not all are probabilities"))
    return cast(bernoulli_of(p.shape, p, generator, p.device), dtype=p.dtype.name)


def bernoulli_of(shape: Any, p: Any, generator: Generator | None, device: Any) -> Tensor:
    """True with probability `p`, else False."""
    return less(rand(shape, generator=generator, dtype=dt.float32, device=device), p)


@also_out
def multinomial(
    weights: Tensor,
    num_samples: int,
    replacement: bool = False,
    *,
    generator: Generator | None = None,
) -> Tensor:
    """Indices drawn with probabilities in proportion to each row of `weights`.

    Raises for negative weights, and for more draws than there are positive weights unless `replacement`.

        >>> dg.multinomial(dg.asarray([0.0, 1.0, 0.0]), 1)
        tensor([1])
    """
    weights = weights.detach()
    rows = weights if weights.ndim == 2 else sh.reshape(weights, (1, -1))
    most = int(_fewest(all_examples(rows)))
    if most < 0:
        problem = "weights must be finite and not negative"
        raise ArgumentError(describe("multinomial", str(weights.tensor_type), problem))
    if not most or (num_samples > most and not replacement):
        problem = f"cannot draw {num_samples} of {most} positive weights without replacement"
        raise ArgumentError(describe("multinomial", str(weights.tensor_type), problem))
    kind = {"generator": generator, "dtype": rows.dtype, "device": rows.device}
    if replacement:
        edges = fn.cumulative_sum(rows, axis=1)
        total = sh.cut(edges, 1, rows.shape[1] - 1, rows.shape[1])
        at = rand(rows.shape[0], num_samples, **kind) * total
        out = fn.clip(search_sorted(edges, at, side="right"), 0, rows.shape[1] - 1)
    else:  # the order of arrivals at rates in proportion to the weights
        waits = _waits(rand(rows.shape, **kind), rows)
        out = sort_along(waits, axis=1, first=num_samples)[1]
    return out if weights.ndim == 2 else sh.reshape(out, (-1,))


@together
def _fewest(rows: Tensor) -> Tensor:
    """How many positive weights there are in the row that has fewest; -1 if some weight is none."""
    valid = fn.all(logical_and(rows >= 0, isfinite(rows)))
    return where(valid, fn.min(fn.count_nonzero(rows, axis=-1)), -1)


@together
def _waits(drawn: Tensor, rates: Tensor) -> Tensor:
    """Times until the first arrival at each rate."""
    return divide(negative(log(1 - drawn)), rates)


methods(bernoulli=bernoulli, multinomial=multinomial)


def rand_like(
    x: Tensor,
    *,
    generator: Generator | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """`rand` in the shape and dtype of x.

    >>> dg.rand_like(dg.zeros((2, 3))).shape
    (2, 3)
    """
    return rand(
        x.shape, generator=generator, **as_in(x, dtype, device), requires_grad=requires_grad
    )


def randn_like(
    x: Tensor,
    *,
    generator: Generator | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """`randn` in the shape and dtype of x.

    >>> dg.randn_like(dg.zeros((2, 3))).shape
    (2, 3)
    """
    return randn(
        x.shape, generator=generator, **as_in(x, dtype, device), requires_grad=requires_grad
    )


def randint_like(
    x: Tensor,
    *bounds: int,
    generator: Generator | None = None,
    dtype: Any = None,
    device: Any = None,
) -> Tensor:
    """`randint` in the shape and dtype of x.

    >>> dg.randint_like(dg.zeros(3), 10).shape
    (3,)
    """
    return randint(*bounds, x.shape, generator=generator, **as_in(x, dtype, device))
