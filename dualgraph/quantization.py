"""Quantisation: numbers as 8-bit integers times a scale, in layers that are done and in training.

``real = (whole - zero_point) * scale``. Source: Jacob et al., "Quantization and training of neural networks for
efficient integer-arithmetic-only inference", 2018.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

from .core import dtypes as dt
from .core.errors import ArgumentError, DTypeError, describe
from .eager import Tensor, no_grad
from .eager.operands import as_operand, astype
from .nn import Linear, Module
from .nn import functional as F
from .ops.arithmetic import where

__all__ = [
    "DynamicLinear",
    "dequantize",
    "fake_quantize_per_channel_affine",
    "fake_quantize_per_tensor_affine",
    "quantize",
    "quantize_dynamic",
    "scale_of",
]


def _limits(op: str, dtype: Any) -> tuple[dt.DType, int, int]:
    chosen = dt.as_dtype(dtype)
    if chosen not in (dt.int8, dt.uint8, dt.int16, dt.int32):
        raise DTypeError(
            describe(op, chosen.name, "holds no quantised numbers", "use int8 or uint8")
        )
    bits = 8 * chosen.itemsize
    return (
        (chosen, 0, 2**bits - 1)
        if chosen is dt.uint8
        else (chosen, -(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    )


def scale_of(x: Tensor, dim: int | None = None, dtype: Any = dt.int8) -> Tensor:
    """The scale with which the largest element of `x` (of each slice along `dim`) becomes the largest of `dtype`.

    Slices of zeros have scale 1.

    >>> dg.quantization.scale_of(dg.tensor([-127.0, 3.0])).item()
    1.0
    """
    _, _, high = _limits("scale_of", dtype)
    others = [i for i in range(x.ndim) if dim is not None and i != dim % x.ndim]
    most = x.abs().amax(others) if others else x.abs() if dim is not None else x.abs().max()
    return where(most > 0, most / high, 1.0)


def _along(x: Tensor, value: Any, axis: int | None) -> Tensor:
    """A scale or zero point, beside the slices it is for."""
    value = as_operand(value)
    if axis is None or not value.ndim:
        return value
    return value.reshape([-1 if i == axis % x.ndim else 1 for i in range(x.ndim)])


def quantize(
    x: Tensor, scale: Any, zero_point: Any = 0, dtype: Any = dt.int8, *, axis: int | None = None
) -> Tensor:
    """``round(x / scale) + zero_point``, cut to what `dtype` holds; one scale in all, or one a slice along `axis`.

    >>> dg.quantization.quantize(dg.tensor([0.1, -0.24, 9.0]), 0.1).tolist()
    [1, -2, 90]
    """
    chosen, low, high = _limits("quantize", dtype)
    whole = (x.detach() / _along(x, scale, axis)).round() + _along(x, zero_point, axis)
    return astype(whole.clamp(low, high), chosen)


def dequantize(q: Tensor, scale: Any, zero_point: Any = 0, *, axis: int | None = None) -> Tensor:
    """``(q - zero_point) * scale``: the numbers that `quantize` rounded.

    >>> dg.quantization.dequantize(dg.tensor([0, 10], dtype=dg.int8), 0.5, 2).tolist()
    [-1.0, 4.0]
    """
    scale = _along(q, scale, axis)
    kind = scale.dtype if scale.dtype.is_floating_point else dt.get_default_dtype()
    return (astype(q, kind) - _along(q, zero_point, axis)) * scale


def fake_quantize_per_tensor_affine(
    input: Tensor, scale: Any, zero_point: Any, quant_min: int, quant_max: int
) -> Tensor:
    """`input` rounded to the numbers that ``quant_min`` to ``quant_max`` stand for; gradients pass inside of these.

    >>> x = dg.tensor([0.26, 5.0], requires_grad=True)
    >>> y = dg.quantization.fake_quantize_per_tensor_affine(x, 0.5, 0, -4, 3); y.sum().backward()
    >>> y.tolist(), x.grad.tolist()
    ([0.5, 1.5], [1.0, 0.0])
    """
    return _fake(
        "fake_quantize_per_tensor_affine", input, scale, zero_point, quant_min, quant_max, None
    )


def fake_quantize_per_channel_affine(
    input: Tensor, scale: Any, zero_point: Any, axis: int, quant_min: int, quant_max: int
) -> Tensor:
    """As `fake_quantize_per_tensor_affine`, with a scale and a zero point for each slice along `axis`.

    >>> x, scales, zeros = dg.tensor([[0.26], [0.26]]), dg.tensor([0.1, 0.5]), dg.tensor([0, 0])
    >>> dg.quantization.fake_quantize_per_channel_affine(x, scales, zeros, 0, -128, 127)
    tensor([[0.3000],
            [0.5000]])
    """
    return _fake(
        "fake_quantize_per_channel_affine", input, scale, zero_point, quant_min, quant_max, axis
    )


def _fake(
    op: str, x: Tensor, scale: Any, zero_point: Any, low: int, high: int, axis: int | None
) -> Tensor:
    if low > high:
        raise ArgumentError(
            describe(op, str(x.tensor_type), f"quant_min {low} is above quant_max {high}")
        )
    scale, zero = _along(x, scale, axis), _along(x, zero_point, axis)
    whole = (x.detach() / scale).round() + zero
    inside = (whole >= low) & (whole <= high)
    rounded = astype((whole.clamp(low, high) - zero) * scale, x.dtype)
    # The second part is 0, with a gradient
    return rounded.detach() + where(inside, x - x.detach(), 0.0)


class DynamicLinear(Module):
    """A `Linear` layer whose weight is kept as int8 with a scale for each output; products are floating ones.

    A quarter of the memory and of the file; it is not trained.

    >>> layer = dg.quantization.DynamicLinear(dg.nn.Linear(8, 4))
    >>> layer.weight.dtype, layer(dg.ones(2, 8)).shape
    (dualgraph.int8, (2, 4))
    """

    weight: Tensor
    scale: Tensor

    def __init__(self, layer: Linear) -> None:
        super().__init__()
        self.in_features, self.out_features = layer.in_features, layer.out_features
        with no_grad():
            scale = scale_of(layer.weight, 0).detach()
            self.register_buffer("scale", scale)
            self.register_buffer("weight", quantize(layer.weight, scale, axis=0))
            self.register_buffer(
                "bias", None if layer.bias is None else layer.bias.detach().clone()
            )

    def forward(self, input: Tensor) -> Tensor:
        return F.linear(input, dequantize(self.weight, self.scale, axis=0), self.bias)

    def extra_repr(self) -> str:
        return f"in_features={self.in_features}, out_features={self.out_features}, dtype=int8"


def quantize_dynamic(
    model: Module, qconfig_spec: Iterable[Any] | None = None, dtype: Any = dt.int8, inplace: bool = False
) -> Module:  # fmt: skip
    """`model` with its `Linear` layers as `DynamicLinear`: those whose type or name is in `qconfig_spec`, or all.

    >>> from dualgraph import nn
    >>> small = dg.quantization.quantize_dynamic(nn.Sequential(nn.Linear(8, 4), nn.ReLU()))
    >>> small[0].weight.dtype, small(dg.ones(2, 8)).shape
    (dualgraph.int8, (2, 4))
    """
    if dt.as_dtype(dtype) is not dt.int8:
        raise DTypeError(
            describe("quantize_dynamic", str(dtype), "weights become int8", "pass dtype=dg.int8")
        )
    wanted = {Linear} if qconfig_spec is None else set(qconfig_spec)
    if not wanted <= {Linear} | {w for w in wanted if isinstance(w, str)}:
        raise ArgumentError(
            f"quantize_dynamic: only Linear layers can be quantised, not all of {wanted}"
        )
    whole = model if inplace else copy.deepcopy(model)
    if type(whole) is Linear and (Linear in wanted or "" in wanted):
        return DynamicLinear(whole)
    for prefix, parent in list(whole.named_modules()):
        for name, layer in list(parent.named_children()):
            path = f"{prefix}.{name}" if prefix else name
            if type(layer) is Linear and (Linear in wanted or path in wanted):
                setattr(parent, name, DynamicLinear(layer))
    return whole
