"""Linear maps: dense, bilinear, convolutions of one to three spatial axes and their transposes."""

from __future__ import annotations

from typing import Any

from ...core.composite import together
from ...core.errors import ArgumentError, ShapeError, describe
from ...eager import Tensor
from ...eager.functions import matmul
from ...ops.contraction import conv, conv_input
from ...ops.movement import pad, permute, reshape

Ints = tuple[int, ...]
Pairs = tuple[tuple[int, int], ...]


@together
def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``x @ weight.T + bias`` on the last axis; weight has shape (out, in).

    >>> x, w = dg.ones(1, 2), dg.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    >>> dg.nn.functional.linear(x, w).tolist()
    [[3.0, 7.0, 11.0]]
    """
    if input.ndim == 0 or weight.ndim == 0 or input.shape[-1] != weight.shape[-1]:
        raise ShapeError(
            f"linear: input of shape {input.shape} and weight of shape {weight.shape} must agree in their last axis"
        )
    if weight.ndim == 1:
        out = matmul(input, weight)
    else:
        out = matmul(input, permute(weight, axes=(1, 0)))
    return out if bias is None else out + bias


def bilinear(input1: Tensor, input2: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``out[o] = sum over i, j of x[i] * weight[o, i, j] * y[j]``; weight has shape (out, in1, in2).

    >>> dg.nn.functional.bilinear(dg.ones((2, 3)), dg.ones((2, 4)), dg.ones((5, 3, 4))).shape
    (2, 5)
    """
    o, i, j = weight.shape
    lead = input1.shape[:-1]
    flat = reshape(permute(weight, axes=(1, 0, 2)), shape=(i, o * j))
    half = reshape(matmul(input1, flat), shape=(*lead, o, j))
    out = reshape(matmul(half, reshape(input2, shape=(*lead, j, 1))), shape=(*lead, o))
    return out if bias is None else out + bias


def each_axis(value: Any, n: int, what: str) -> Ints:
    """An int for all spatial axes, or one an axis."""
    if isinstance(value, int):
        return (value,) * n
    out = tuple(int(v) for v in value)
    if len(out) == 1:
        return out * n
    if len(out) != n:
        raise ArgumentError(f"{what} must be an integer or {n} of them, not {value!r}")
    return out


def _pairs(padding: Any, kernel: Ints, stride: Ints, dilation: Ints) -> Pairs:
    if padding == "valid":
        return ((0, 0),) * len(kernel)
    if padding == "same":
        if any(s != 1 for s in stride):
            raise ArgumentError("padding='same' needs stride 1")
        totals = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
        return tuple((t // 2, t - t // 2) for t in totals)
    if isinstance(padding, str):
        raise ArgumentError(f"padding must be 'same', 'valid' or numbers, not {padding!r}")
    return tuple((p, p) for p in each_axis(padding, len(kernel), "padding"))


def _check_weight(op: str, x: Tensor, weight: Tensor, n: int) -> None:
    if weight.ndim != n + 2:
        problem = f"weight must have {n + 2} axes (O, C / groups, ...), not shape {weight.shape}"
        raise ShapeError(describe(op, f"{x.tensor_type}, {weight.tensor_type}", problem))


def _with_bias(out: Tensor, bias: Tensor | None, n: int) -> Tensor:
    return out if bias is None else out + reshape(bias, shape=(bias.shape[0], *(1,) * n))


def _batched(op: str, x: Tensor, n: int) -> tuple[Tensor, bool]:
    """x with a batch axis, and whether one was added."""
    if x.ndim == n + 2:
        return x, False
    if x.ndim == n + 1:
        return reshape(x, shape=(1, *x.shape)), True
    raise ShapeError(
        f"{op}: input must have {n + 2} axes (N, C, ...) or {n + 1} without the batch, not shape {x.shape}"
    )


def _conv(
    n: int,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Any,
    padding: Any,
    dilation: Any,
    groups: int,
) -> Tensor:
    """The convolution of `n` spatial axes."""
    x, added = _batched(f"conv{n}d", x, n)
    _check_weight(f"conv{n}d", x, weight, n)
    steps, gaps = each_axis(stride, n, "stride"), each_axis(dilation, n, "dilation")
    pairs = _pairs(padding, weight.shape[2:], steps, gaps)
    out = _with_bias(
        conv(x, weight, stride=steps, padding=pairs, dilation=gaps, groups=groups), bias, n
    )
    return reshape(out, shape=out.shape[1:]) if added else out


def conv1d(
    input: Tensor, weight: Tensor, bias: Tensor | None = None,
    stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1,
) -> Tensor:  # fmt: skip
    """Cross-correlation of (N, C, L) with weight (O, C / groups, K).

    >>> dg.nn.functional.conv1d(dg.ones((1, 1, 4)), dg.ones((1, 1, 2)))
    tensor([[[2., 2., 2.]]])
    """
    return _conv(1, input, weight, bias, stride, padding, dilation, groups)


def conv2d(
    input: Tensor, weight: Tensor, bias: Tensor | None = None,
    stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1,
) -> Tensor:  # fmt: skip
    """Cross-correlation of (N, C, H, W) with weight (O, C / groups, KH, KW).

    >>> x, w = dg.ones(1, 1, 3, 3), dg.ones(1, 1, 2, 2)
    >>> dg.nn.functional.conv2d(x, w).shape
    (1, 1, 2, 2)
    """
    return _conv(2, input, weight, bias, stride, padding, dilation, groups)


def conv3d(
    input: Tensor, weight: Tensor, bias: Tensor | None = None,
    stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1,
) -> Tensor:  # fmt: skip
    """Cross-correlation of (N, C, D, H, W) with weight (O, C / groups, KD, KH, KW).

    >>> dg.nn.functional.conv3d(dg.ones((1, 1, 4, 4, 4)), dg.ones((2, 1, 3, 3, 3))).shape
    (1, 2, 2, 2, 2)
    """
    return _conv(3, input, weight, bias, stride, padding, dilation, groups)


def _conv_transpose(
    n: int, x: Tensor, weight: Tensor, bias: Tensor | None, stride: Any, padding: Any, output_padding: Any,
    groups: int, dilation: Any,
) -> Tensor:  # fmt: skip
    """The transposed convolution of `n` spatial axes."""
    x, added = _batched(f"conv_transpose{n}d", x, n)
    steps, gaps = each_axis(stride, n, "stride"), each_axis(dilation, n, "dilation")
    margins, extra = (
        each_axis(padding, n, "padding"),
        each_axis(output_padding, n, "output_padding"),
    )
    extent = tuple(
        (d - 1) * s - 2 * p + g * (k - 1) + e + 1
        for d, s, p, g, k, e in zip(
            x.shape[2:], steps, margins, gaps, weight.shape[2:], extra, strict=True
        )
    )
    if any(e >= max(s, g) for e, s, g in zip(extra, steps, gaps, strict=True)):
        raise ArgumentError(
            f"output_padding {extra} must be smaller than stride {steps} or dilation {gaps}"
        )
    spare = [e // s for e, s in zip(extra, steps, strict=True)]
    if any(spare):  # more than a stride: as if the input went on with zeros
        x = pad(x, widths=((0, 0), (0, 0), *((0, t) for t in spare)), value=0)
    pairs = tuple((p, p) for p in margins)
    out = conv_input(
        x, weight, extent=extent, stride=steps, padding=pairs, dilation=gaps, groups=groups
    )
    out = _with_bias(out, bias, n)
    return reshape(out, shape=out.shape[1:]) if added else out


def conv_transpose1d(
    input: Tensor, weight: Tensor, bias: Tensor | None = None,
    stride: Any = 1, padding: Any = 0, output_padding: Any = 0, groups: int = 1, dilation: Any = 1,
) -> Tensor:  # fmt: skip
    """Transpose of `conv1d`; weight has shape (C, O / groups, K).

    >>> dg.nn.functional.conv_transpose1d(dg.ones((1, 1, 2)), dg.ones((1, 1, 2)), stride=2)
    tensor([[[1., 1., 1., 1.]]])
    """
    return _conv_transpose(
        1, input, weight, bias, stride, padding, output_padding, groups, dilation
    )


def conv_transpose2d(
    input: Tensor, weight: Tensor, bias: Tensor | None = None,
    stride: Any = 1, padding: Any = 0, output_padding: Any = 0, groups: int = 1, dilation: Any = 1,
) -> Tensor:  # fmt: skip
    """Transpose of `conv2d`; weight has shape (C, O / groups, KH, KW).

    >>> dg.nn.functional.conv_transpose2d(dg.ones((1, 1, 2, 2)), dg.ones((1, 3, 2, 2)), stride=2).shape
    (1, 3, 4, 4)
    """
    return _conv_transpose(
        2, input, weight, bias, stride, padding, output_padding, groups, dilation
    )


def conv_transpose3d(
    input: Tensor, weight: Tensor, bias: Tensor | None = None,
    stride: Any = 1, padding: Any = 0, output_padding: Any = 0, groups: int = 1, dilation: Any = 1,
) -> Tensor:  # fmt: skip
    """Transpose of `conv3d`; weight has shape (C, O / groups, KD, KH, KW).

    >>> dg.nn.functional.conv_transpose3d(dg.ones((1, 1, 2, 2, 2)), dg.ones((1, 3, 2, 2, 2)), stride=2).shape
    (1, 3, 4, 4, 4)
    """
    return _conv_transpose(
        3, input, weight, bias, stride, padding, output_padding, groups, dilation
    )
