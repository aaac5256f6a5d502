"""jvp: forward-mode derivatives, derived from reverse mode by transposing a linear function.

A pullback ``ct -> ct @ J`` is linear in `ct`, so its own pullback is ``t -> J @ t``. It needs one recorded
reverse sweep, and no rule but the vjp of each op.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..core.errors import TransformError, describe
from ..eager.filling import zeros_like
from .grad import Forward, matching, vjp
from .outline import outline


def jvp(
    fn: Callable[..., Any], primals: Sequence[Any], tangents: Sequence[Any], has_aux: bool = False
) -> Any:
    """``(fn(*primals), J @ tangents)``: the result, and its derivative in the direction of the tangents.

    `primals` and `tangents` are tuples of equal structure and shapes. With `has_aux`, `fn` gives
    ``(out, aux)`` and the result is ``(out, tangent, aux)``.

    >>> import dualgraph as dg
    >>> out, tangent = dg.jvp(lambda x: x * x, (3.0,), (1.0,))
    >>> out.item(), tangent.item()
    (9.0, 6.0)
    """
    out, push, *aux = linearize(fn, *_tuple("primals", primals), has_aux=has_aux)
    return (out, push(*_tuple("tangents", tangents)), *aux)


def _tuple(name: str, values: Sequence[Any]) -> tuple[Any, ...]:
    if not isinstance(values, (tuple, list)):
        raise TransformError(
            describe(
                "jvp",
                type(values).__name__,
                f"{name} is a tuple with one entry an argument",
                f"write ({name[:-1]},)",
            )
        )
    return tuple(values)


def linearize(fn: Callable[..., Any], *primals: Any, has_aux: bool = False) -> Any:
    """``(out, push)`` where ``push(*tangents)`` is the derivative of `fn` at the primals: `fn` runs once.

    >>> import dualgraph as dg
    >>> out, push = dg.linearize(lambda x: x * x, 3.0)
    >>> push(1.0).item(), push(2.0).item()
    (6.0, 12.0)
    """
    run = Forward("jvp", fn, primals, has_aux)
    anywhere = run.out_tree.fill(map(zeros_like, run.outs))  # any point: a pullback is linear
    _, transpose = vjp(lambda ct: run.pull(outline(ct)[0], retain=True), anywhere)

    def push(*tangents: Any) -> Any:
        (tangent,) = transpose(_tangents(run, tangents))
        return tangent

    out = run.leave(run.result)
    return (out, push, run.leave(run.aux)) if has_aux else (out, push)


def _tangents(run: Forward, given: tuple[Any, ...]) -> tuple[Any, ...]:
    """Tangents as tensors in the tree of the primals; raises unless they fit these."""
    out = matching("jvp", "tangent", given, "primal", run.leaves, run.tree)
    return run.tree.fill(out)  # type: ignore[no-any-return]
