"""Forward-mode derivatives in PyTorch's form: tensors that carry a tangent, inside of a `dual_level`.

A dual tensor is a tensor on the tape, and the level knows its tangent. The tangent of a result is worked out when it is
asked for, by two sweeps over the tape (see `transforms.jvp`), so `dg.jvp` costs less where it serves.
"""

from __future__ import annotations

import threading
from typing import Any, NamedTuple

from ..core.context import state
from ..core.errors import AutogradError, ShapeError, describe
from ..eager import Tensor, autograd
from ..eager.filling import zeros_like
from ..ops.movement import alias


class UnpackedDualTensor(NamedTuple):
    """What `unpack_dual` gives: the values, and their tangent (None where they depend on no dual tensor).

    >>> fwd = dg.autograd.forward_ad
    >>> with fwd.dual_level():
    ...     fwd.unpack_dual(fwd.make_dual(dg.tensor(2.0), dg.tensor(1.0)) ** 2).tangent.item()
    4.0
    """

    primal: Tensor
    tangent: Tensor | None


class _Level:
    def __init__(self) -> None:
        # The dual tensors of the level, and their tangents
        self.duals: list[tuple[Tensor, Tensor]] = []


class _Levels(threading.local):
    now: _Level | None = None


_levels = _Levels()


def _level(op: str) -> _Level:
    if _levels.now is None:
        raise AutogradError(
            describe(op, "", "there is no dual level", "do it inside of `with dual_level():`")
        )
    return _levels.now


class dual_level:
    """Context in which tensors can have tangents; they are gone when it ends. There is one level at a time.

    >>> import dualgraph as dg
    >>> import dualgraph.autograd.forward_ad as fwAD
    >>> with fwAD.dual_level():
    ...     x = fwAD.make_dual(dg.tensor([1.0, 2.0]), dg.tensor([1.0, 0.0]))
    ...     print(fwAD.unpack_dual(x * x).tangent)
    tensor([2., 0.])
    """

    def __enter__(self) -> int:
        if _levels.now is not None:
            raise AutogradError(
                describe("dual_level", "", "levels do not nest", "use dg.jvp of dg.jvp")
            )
        _levels.now = _Level()
        return 0

    def __exit__(self, *exc: object) -> None:
        _levels.now = None


def make_dual(tensor: Tensor, tangent: Tensor, *, level: int | None = None) -> Tensor:
    """`tensor` with a tangent of its shape and dtype. It is on the tape, so that its ``requires_grad`` is true.

    Raises AutogradError outside of a `dual_level` and under `no_grad`, ShapeError where the types differ.

    >>> import dualgraph as dg
    >>> import dualgraph.autograd.forward_ad as fwAD
    >>> with fwAD.dual_level():
    ...     print(fwAD.make_dual(dg.ones(2), dg.zeros(2)).requires_grad)
    True
    """
    now = _level("make_dual")
    if tensor.shape != tangent.shape or tensor.dtype is not tangent.dtype:
        types = f"{tensor.tensor_type}, {tangent.tensor_type}"
        raise ShapeError(describe("make_dual", types, "a tangent has the type of its tensor"))
    if not state.grad:
        raise AutogradError(
            describe("make_dual", "", "tangents follow the tape", "do it outside of no_grad")
        )
    dual: Tensor = alias(tensor)
    dual = dual if dual.requires_grad else dual.detach().requires_grad_()
    now.duals.append((dual, tangent))
    return dual


def unpack_dual(tensor: Tensor, *, level: int | None = None) -> UnpackedDualTensor:
    """The values of a tensor and the tangent that they have by the dual tensors which they depend on.

    >>> import dualgraph as dg
    >>> import dualgraph.autograd.forward_ad as fwAD
    >>> with fwAD.dual_level():
    ...     primal, tangent = fwAD.unpack_dual(fwAD.make_dual(dg.tensor(3.0), dg.tensor(1.0)) ** 2)
    >>> primal.item(), tangent.item()
    (9.0, 6.0)
    """
    now = _level("unpack_dual")
    own = next((t for dual, t in now.duals if dual is tensor), None)
    tracked = tensor.requires_grad and _has_leaves(tensor, [dual for dual, _ in now.duals])
    primal = tensor if tracked else tensor.detach()
    if own is not None:
        return UnpackedDualTensor(primal, own)
    if not (now.duals and tensor.requires_grad):
        return UnpackedDualTensor(primal, None)
    ct = zeros_like(tensor).requires_grad_()
    duals, tangents = zip(*now.duals, strict=True)
    pulled = autograd.grad(tensor, duals, ct, create_graph=True, allow_unused=True)
    pairs = [(g, t) for g, t in zip(pulled, tangents, strict=True) if g is not None]
    return UnpackedDualTensor(primal, _pushed(pairs, ct, tracked) if pairs else None)


def _has_leaves(tensor: Tensor, duals: list[Tensor]) -> bool:
    """Whether `tensor` depends on a leaf that is no dual tensor, so that a gradient may be asked of it."""
    own = {id(dual._node) for dual in duals if dual.is_leaf}
    stack, seen = [tensor._edge()], set(own)
    while stack:
        edge = stack.pop()
        if edge is None or id(edge[0]) in seen:
            continue
        seen.add(id(edge[0]))
        if edge[0].prim is None:
            return True
        stack.extend(edge[0].inputs)
    return False


def _pushed(pairs: list[tuple[Tensor, Tensor]], ct: Tensor, create_graph: bool) -> Tensor:
    """The derivative: the gradients are linear in `ct`, and this is their transpose on the tangents."""
    pulled = [(g, t) for g, t in pairs if g.requires_grad]
    if not pulled:  # the gradients are nought, whatever `ct` is
        return zeros_like(ct.detach())
    gradients, tangents = zip(*pulled, strict=True)
    given: Any = autograd.grad(
        gradients,
        ct,
        tangents,
        create_graph=create_graph,
        allow_unused=True,
        materialize_grads=True,
    )
    return given[0]  # type: ignore[no-any-return]


__all__ = ["UnpackedDualTensor", "dual_level", "make_dual", "unpack_dual"]
