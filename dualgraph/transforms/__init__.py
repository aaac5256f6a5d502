"""Transforms: functions of functions - gradients, Jacobians, batching, checkpointing.

Its modules:

    grad         reverse mode: `grad`, `value_and_grad`, `vjp`
    jvp          forward mode, by transposing reverse mode      jacobian (all derivatives, by `vmap` of these)
    vmap         a function of one example over a batch
    checkpoint   values dropped, and computed again for the gradient
    outline      trees without their values                     decisions (a function that runs again does as before)
"""

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
