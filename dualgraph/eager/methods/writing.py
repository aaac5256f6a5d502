"""Writing: methods that end in ``_`` put their result into the tensor's own memory."""

from __future__ import annotations

from collections.abc import Callable
from math import log1p, pi, prod
from typing import Any

from ...core.context import state
from ...core.errors import ArgumentError, AutogradError, describe
from ...core.kinds import ELEMENTWISE
from ...core.prim import Prim
from ...ops.arithmetic import add, divide, subtract, where
from ...ops.creation import full
from .. import random
from ..attach import method, methods
from ..creation import asarray
from ..filling import as_shape
from ..inplace import as_another, fit, rewrite, write
from ..overwrite import LEAST, overwrite, refill
from ..shapes import concat
from ..tensor import Tensor

# methods that exist out of place: x.name_(...) writes the result of x.name(...)
FORMS = """
    abs absolute neg negative sign square sqrt rsqrt reciprocal floor ceil trunc fix frac round exp exp2
    expm1 log log2 log10 log1p sin cos tan asin acos atan arcsin arccos arctan sinh cosh tanh asinh acosh
    atanh arcsinh arccosh arctanh erf erfc sigmoid relu logit sinc deg2rad rad2deg nan_to_num conj
    add sub subtract mul multiply div divide true_divide floor_divide remainder fmod pow atan2 hypot
    copysign heaviside xlogy clamp clamp_min clamp_max clip lerp addcmul addcdiv addmm addmv baddbmm addbmm
    addr logical_and logical_or logical_xor logical_not bitwise_and bitwise_or bitwise_xor bitwise_not
    bitwise_left_shift bitwise_right_shift eq ne not_equal lt less le less_equal gt greater ge greater_equal
    masked_fill masked_scatter scatter scatter_add scatter_reduce index_add index_copy index_fill index_put
    cumsum cumprod tril triu lgamma digamma polygamma mvlgamma erfinv gcd lcm ldexp float_power arctan2 sgn
    nextafter put renorm index_reduce
""".split()


# those that are one op where no more than its operands is given
ONE_OP = {"add": add, "sub": subtract, "subtract": subtract, "div": divide, "divide": divide}


def _in_place(name: str) -> Callable[..., Tensor]:
    """The method ``name_``, made of the method ``name``."""
    plain = getattr(Tensor, name)
    label = f"{name}_"
    op = ONE_OP.get(name, getattr(plain, "op", None))
    if not (isinstance(op, Prim) and op.kind is ELEMENTWISE):
        op = None

    def call(x: Tensor, *args: Any, **params: Any) -> Tensor:
        if op is not None and not params and overwrite(op, x, (x, *args)):
            return x
        return rewrite(label, x, plain, x, *args, **params)

    call.__name__ = call.__qualname__ = label
    call.__doc__ = f"`{name}`, written into x."
    return call


methods(**{f"{name}_": _in_place(name) for name in FORMS})


@method
def copy_(x: Tensor, src: Any, non_blocking: bool = False) -> Tensor:
    """Writes the values of `src`, broadcast and cast, into x."""
    if not isinstance(src, Tensor):
        src = asarray(src)
    src = src if src.device is x.device else src.to(x.device)
    if src.dtype is not x.dtype:
        src = src.to(x.dtype)
    new = fit("copy_", x, src)
    return write("copy_", x, as_another(src) if new is src else new)


@method
def fill_(x: Tensor, value: Any) -> Tensor:
    """Writes one value everywhere."""
    if isinstance(value, Tensor):
        return copy_(x, value)
    how = {"value": value, "dtype": x.dtype.name, "device": str(x.device)}
    large = x._data.size >= LEAST
    if state.tracer is None:
        if refill(x, full(shape=(), **how)) if large else overwrite(where, x, (True, value, x)):
            return x
    return write("fill_", x, full(shape=x.shape, **how))


@method
def zero_(x: Tensor) -> Tensor:
    """Writes zeros everywhere."""
    return fill_(x, 0)


@method
def fill_diagonal_(x: Tensor, fill_value: Any) -> Tensor:
    """Writes one value on the diagonal of a matrix."""
    x.diagonal().fill_(fill_value)
    return x


# --- random --------------------------------------------------------------------------------------


def _drawn(x: Tensor, name: str, draw: Callable[[], Tensor]) -> Tensor:
    return write(name, x, fit(name, x, draw().detach()))


def _as(x: Tensor) -> dict[str, Any]:
    return {"dtype": x.dtype, "device": x.device}


@method
def uniform_(x: Tensor, from_: float = 0.0, to: float = 1.0, *, generator: Any = None) -> Tensor:
    """Writes numbers drawn evenly from [from, to)."""
    return _drawn(
        x,
        "uniform_",
        lambda: random.rand(x.shape, generator=generator, **_as(x)) * (to - from_) + from_,
    )


@method
def normal_(x: Tensor, mean: float = 0.0, std: float = 1.0, *, generator: Any = None) -> Tensor:
    """Writes normally distributed numbers."""
    return _drawn(
        x, "normal_", lambda: random.randn(x.shape, generator=generator, **_as(x)) * std + mean
    )


@method
def bernoulli_(x: Tensor, p: Any = 0.5, *, generator: Any = None) -> Tensor:
    """Writes 1 with probability p, else 0."""
    return _drawn(
        x, "bernoulli_", lambda: random.bernoulli_of(x.shape, p, generator, x.device).to(x.dtype)
    )


@method
def random_(x: Tensor, from_: int = 0, to: int | None = None, *, generator: Any = None) -> Tensor:
    """Writes whole numbers drawn evenly from [from, to); the second alone counts from 0."""
    if to is None:
        from_, to = (0, from_) if from_ else (0, random.largest_whole(x.dtype) + 1)
    return _drawn(
        x, "random_", lambda: random.randint(from_, to, x.shape, generator=generator, **_as(x))
    )


@method
def exponential_(x: Tensor, lambd: float = 1.0, *, generator: Any = None) -> Tensor:
    """Writes exponentially distributed numbers of rate `lambd`."""
    return _drawn(
        x,
        "exponential_",
        lambda: -(1 - random.rand(x.shape, generator=generator, **_as(x))).log() / lambd,
    )


@method
def log_normal_(x: Tensor, mean: float = 1.0, std: float = 2.0, *, generator: Any = None) -> Tensor:
    """Writes numbers whose logarithms are normally distributed."""
    return _drawn(
        x,
        "log_normal_",
        lambda: (random.randn(x.shape, generator=generator, **_as(x)) * std + mean).exp(),
    )


@method
def cauchy_(x: Tensor, median: float = 0.0, sigma: float = 1.0, *, generator: Any = None) -> Tensor:
    """Writes Cauchy distributed numbers."""
    return _drawn(
        x,
        "cauchy_",
        lambda: (
            ((random.rand(x.shape, generator=generator, **_as(x)) - 0.5) * pi).tan() * sigma
            + median
        ),
    )


@method
def geometric_(x: Tensor, p: float, *, generator: Any = None) -> Tensor:
    """Writes how many trials of probability p it takes to succeed: 1, 2, ..."""
    if not 0 < p < 1:
        raise ArgumentError(
            describe("geometric_", str(x.tensor_type), f"p lies in (0, 1), not {p}")
        )
    return _drawn(
        x,
        "geometric_",
        lambda: (
            ((-random.rand(x.shape, generator=generator, device=x.device)).log1p() / log1p(-p))
            .ceil()
            .clamp(1)
            .to(x.dtype)
        ),
    )


# --- by Python functions -------------------------------------------------------------------------


@method
def apply_(x: Tensor, callable: Callable[[Any], Any]) -> Tensor:
    """Writes a Python function of each element; slow, and without gradients."""
    return map_(x, x, lambda value, _: callable(value))


@method
def map_(x: Tensor, tensor: Tensor, callable: Callable[[Any, Any], Any]) -> Tensor:
    """Writes a Python function of each element and its neighbour in another tensor; slow, and without gradients."""
    pairs = zip(x.reshape(-1).tolist(), tensor.expand_as(x).reshape(-1).tolist(), strict=True)
    return copy_(x, asarray([callable(*pair) for pair in pairs], dtype=x.dtype).reshape(x.shape))


# --- the shape of x itself -----------------------------------------------------------------------


def _reshaped(x: Tensor, name: str, view: Tensor) -> Tensor:
    """x becomes the view: PyTorch's ``unsqueeze_`` and kin change the tensor, not its memory."""
    if x._parent is not None or (x._requires_grad and state.grad):
        problem = "a view, or a leaf that requires gradients, keeps its shape"
        raise AutogradError(describe(name, str(x.tensor_type), problem, f"use .{name[:-1]}(...)"))
    if state.tracer is not None:
        if state.tracer.is_root(x):
            state.tracer.escape(x, name)
        else:
            state.tracer.assign(x, view)
    x._data, x._node, x._index = view._data, view._node, view._index
    return x


def _shape_form(name: str) -> Callable[..., Tensor]:
    plain = getattr(Tensor, name)

    def call(x: Tensor, *args: Any, **params: Any) -> Tensor:
        return _reshaped(x, f"{name}_", plain(x, *args, **params))

    call.__name__ = call.__qualname__ = f"{name}_"
    call.__doc__ = f"`{name}`, of x itself."
    return call


methods(
    **{
        f"{name}_": _shape_form(name)
        for name in ("squeeze", "unsqueeze", "t", "transpose", "swapaxes", "swapdims")
    }
)


@method
def resize_(x: Tensor, *size: Any) -> Tensor:
    """x takes another shape: its elements in order as far as they go, zeros beyond them."""
    shape = as_shape(size)
    flat, n = x.reshape(-1), prod(shape)
    kept = flat[:n] if n <= x.numel() else concat([flat, x.new_zeros(n - x.numel())])
    return _reshaped(x, "resize_", kept.reshape(shape))


@method
def resize_as_(x: Tensor, other: Tensor) -> Tensor:
    """`resize_` to the shape of another tensor."""
    return resize_(x, other.shape)
