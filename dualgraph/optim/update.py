"""Updates: the step of one large parameter as a composite, which eager mode runs as one kernel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import numpy as np

from ..core.composite import Merge, composite
from ..core.constant import exact
from ..core.context import state
from ..core.dtypes import bfloat16
from ..eager import Tensor
from ..eager.numbers import live_number
from ..static import twins

F = TypeVar("F", bound=Callable[..., Any])
LARGE = 1 << 14  # elements


def stands_alone(update: F) -> F:
    """Decorator of an ``_update`` that depends on its arguments alone and changes none but by tensor ops."""
    update.stands_alone = True  # type: ignore[attr-defined]
    return update


class How(NamedTuple):
    """What an update does besides what its tensors hold: the rule, names of the state, and all options but lr."""

    rule: Any
    names: tuple[str, ...]
    options: tuple[tuple[str, Any], ...]
    bits: Any  # the options, told apart by their bits


@composite
def update(p: Tensor, grad: Tensor, lr: Any, how: How, *values: Tensor) -> None:
    """One step of `p`, in place."""
    group = {**dict(how.options), "lr": lr}
    how.rule(None, p, grad, dict(zip(how.names, values, strict=True)), group)


_ops_of_update = update.__wrapped__  # type: ignore[attr-defined]


def update_large(
    rule: Any, p: Tensor, grad: Tensor, own: dict[str, Any], group: dict[str, Any]
) -> bool:
    """Runs the step of a large parameter as a composite; whether it did. The bits are those of the rule itself."""
    if p._data.size < LARGE or not hasattr(rule, "stands_alone"):
        return False
    if state.tracer is not None and (Merge.retell is None or not twins.hears()):
        return False
    if not all(isinstance(v, Tensor) for v in own.values()):
        return False
    options = tuple((k, v) for k, v in group.items() if k not in ("params", "lr"))
    lr = live_number(group, "lr", p)
    if isinstance(lr, float):
        if p.dtype is bfloat16 or not p.dtype.is_floating_point:
            return False
        # An operand, so that another rate needs no other program.
        lr = Tensor(np.asarray(lr, p.dtype.numpy), p.dtype)
    args = p, grad, lr, How(rule, tuple(own), options, exact(options)), *own.values()
    if state.tracer is None:
        update(*args)
        return True
    return Merge.retell is not None and Merge.retell(_ops_of_update, args, {}) is None


def update_small(
    update: Any, p: Tensor, grad: Tensor, own: dict[str, Any], group: dict[str, Any]
) -> None:
    """Runs the step of one parameter, op by op. A capture hears the ops of one of those that are alike."""
    if state.tracer is None or not twins.hears():
        return update(p, grad, own, group)
    tensors = [p, grad, *own.values(), group["lr"]]
    rule = getattr(update, "__func__", None)
    alone = hasattr(rule, "stands_alone") and all(isinstance(t, Tensor) for t in tensors)
    if not alone:
        return update(p, grad, own, group)
    options = tuple((k, v) for k, v in group.items() if k not in ("params", "lr"))
    key = rule, tuple(own), exact(options)
    try:
        hash(key)
    except TypeError:
        return update(p, grad, own, group)
    return twins.run(key, tensors, lambda: update(p, grad, own, group))
