"""Transforms and functional calls under the names of ``torch.func``.

>>> layer = dg.nn.Linear(2, 1)
>>> loss = lambda p, x: dg.func.functional_call(layer, p, x).sum()
>>> sorted(dg.func.grad(loss)(dict(layer.named_parameters()), dg.ones(3, 2)))
['bias', 'weight']
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .nn.calling import functional_call, replace_all_batch_norm_modules_, stack_module_state
from .transforms import grad, hessian, jacfwd, jacrev, jvp, linearize, value_and_grad, vjp, vmap

__all__ = [
    "functional_call",
    "grad",
    "grad_and_value",
    "hessian",
    "jacfwd",
    "jacrev",
    "jvp",
    "linearize",
    "replace_all_batch_norm_modules_",
    "stack_module_state",
    "vjp",
    "vmap",
]


def grad_and_value(func: Callable[..., Any], argnums: Any = 0, has_aux: bool = False) -> Any:
    """`value_and_grad` the other way round: gradients first, then the value (and what else, with `has_aux`).

    >>> dg.func.grad_and_value(lambda x: x**2)(dg.asarray(3.0))
    (tensor(6.), tensor(9.))
    """
    both = value_and_grad(func, argnums=argnums, has_aux=has_aux)

    def call(*args: Any, **kwargs: Any) -> tuple[Any, Any]:
        value, gradients = both(*args, **kwargs)
        return gradients, value

    return call
