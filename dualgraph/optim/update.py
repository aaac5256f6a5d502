"""Updates: steps of parameters as calls that eager mode runs as one program - all of a group, or one large one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np

from ..core.composite import Merge, composite
from ..core.constant import exact
from ..core.context import state
from ..core.process.silence import quietly
from ..eager import Tensor
from ..eager.numbers import COUNTED, live_number
from ..static import twins

F = TypeVar("F", bound=Callable[..., Any])
LARGE = 1 << 14  # elements of a parameter that may have a program alone
MOST, MANY = 1 << 20, 62  # elements, and tensors, that one program updates at most
APART = frozenset(("params", "param_names", "lr"))  # what is no option of a rule
PLAIN = frozenset((bool, int, float, str))
KEPT = 256


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


_hows: dict[Any, How] = {}  # by the rule, the names, and which objects the options are


def how_of(rule: Any, names: tuple[str, ...], group: dict[str, Any]) -> How | None:
    """How a rule updates parameters of a group; None where an option may be another one later."""
    options = tuple([kv for kv in group.items() if kv[0] not in APART])
    key = rule, names, tuple([k for k, _ in options]), tuple([id(v) for _, v in options])
    how = _hows.get(key)
    if how is None and all(_never_changes(v) for _, v in options):
        if len(_hows) >= KEPT:
            _hows.clear()
        # it keeps the options: as long as it is here, no others have such ids
        how = _hows[key] = How(rule, names, options, exact(options))
    return how


def _never_changes(x: Any) -> bool:
    """Whether an option is always what it is."""
    return all(map(_never_changes, x)) if type(x) is tuple else x is None or type(x) in PLAIN


def rate_of(p: Tensor, group: dict[str, Any]) -> Tensor | None:
    """The learning rate as an operand, so that another rate needs no other program; None where it cannot be one."""
    lr = live_number(group, "lr", p)
    if not isinstance(lr, float):
        return lr if isinstance(lr, Tensor) else None
    if p.dtype not in COUNTED:
        return None
    return Tensor(quietly(np.asarray, lr, p.dtype.numpy), p.dtype)  # one too large is infinite


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
    lr, how = rate_of(p, group), how_of(rule, tuple(own), group)
    if lr is None or how is None:
        return False
    args = p, grad, lr, how, *own.values()
    if state.tracer is None:
        update(*args)
        return True
    return Merge.retell is not None and Merge.retell(_ops_of_update, args, {}) is None


Given = tuple[Tensor, Tensor, dict[str, Any]]  # a parameter, its gradient and its state


def updates(how: How, lr: Tensor, *tensors: Tensor) -> None:
    """One step of some parameters, in place: of each the tensor, its gradient and its state."""
    group = {**dict(how.options), "lr": lr}
    width = 2 + len(how.names)
    for i in range(0, len(tensors), width):
        p, grad, *values = tensors[i : i + width]
        grad = -grad if group.get("maximize") else grad
        how.rule(None, p, grad, dict(zip(how.names, values, strict=True)), group)


def update_together(rule: Any, given: Sequence[Given], group: dict[str, Any]) -> list[Given]:
    """Runs the steps of parameters by programs of several each, with the bits of the rule; gives what is left."""
    serve, left = Merge.update, []
    if serve is None or state.tracer is not None or not hasattr(rule, "stands_alone"):
        return [*given]
    for chunk in in_chunks(given):
        lr, how = rate_of(chunk[0][0], group), how_of(rule, tuple(chunk[0][2]), group)
        tensors = [lr]
        for p, grad, own in chunk:
            tensors += (p, grad, *own.values())
        if lr is None or how is None or not serve(updates, how, tensors):
            left += chunk
    return left


def in_chunks(given: Sequence[Given]) -> Iterator[Sequence[Given]]:
    """Parameters in order, as many alike together as one program may update."""
    begin, size, tensors = 0, 0, 1
    for i, (p, _, own) in enumerate(given):
        first, _, state = given[begin]
        size, tensors = size + p._data.size, tensors + 2 + len(own)
        alike = p.dtype is first.dtype and [*own] == [*state]
        if i > begin and not (alike and size <= MOST and tensors <= MANY):
            yield given[begin:i]
            begin, size, tensors = i, p._data.size, 3 + len(own)
    if given:
        yield given[begin:]


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
    key = how_of(rule, tuple(own), group)
    if key is None:
        return update(p, grad, own, group)
    return twins.run(key, tensors, lambda: update(p, grad, own, group))
