"""Transforms: functions of functions - gradients, Jacobians, batching, checkpointing."""

from .checkpoint import checkpoint
from .grad import grad, value_and_grad, vjp
from .jacobian import hessian, jacfwd, jacobian, jacrev
from .jvp import jvp, linearize
from .vmap import vmap

__all__ = [
    "checkpoint",
    "grad",
    "hessian",
    "jacfwd",
    "jacobian",
    "jacrev",
    "jvp",
    "linearize",
    "value_and_grad",
    "vjp",
    "vmap",
]
