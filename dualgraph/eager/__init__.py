"""Eager mode: tensors, the tape, and functions that run at once. Importing it makes `Tensor` whole.

Its modules:

    tensor      an array, its device, its place on the tape      operators, methods, attach (functions made methods),
                                                                 storage (the memory that views share)
    dispatch    one op call                                      quick (found by types), overwrite, scalars, operands
    autograd    the sweep over the tape                          taping, unfolding, custom, grad_modes
    creation    from data                                        filling (from a shape), older, random, interchange
    functions   the array API standard's                         shapes, statistics, sets, dtype_info
    torch_names what PyTorch has besides                         calculus, einsum
    indexing    ``x[...]`` and ``x[...] = v``                    inplace (writes that base and views see)
    batching    ops inside of `vmap`                             batch (its data), lift (what rules ask for),
                                                                 packing (hooks on saved tensors)
    numbers     Python floats read afresh on each call           printing (tensors as text)
"""

from ..ops.arithmetic import where
from . import interchange, methods, operators, printing, storage
from .creation import as_tensor, asarray, from_numpy, tensor
from .filling import (
    arange,
    empty,
    empty_like,
    eye,
    full,
    full_like,
    linspace,
    ones,
    ones_like,
    zeros,
    zeros_like,
)
from .grad_modes import enable_grad, is_grad_enabled, no_grad
from .random import (
    Generator,
    bernoulli,
    manual_seed,
    multinomial,
    rand,
    rand_like,
    randint,
    randn,
    randn_like,
    randperm,
)
from .shapes import concat, stack
from .tensor import Tensor

__all__ = [
    "Generator",
    "Tensor",
    "arange",
    "as_tensor",
    "asarray",
    "bernoulli",
    "concat",
    "empty",
    "empty_like",
    "enable_grad",
    "eye",
    "from_numpy",
    "full",
    "full_like",
    "interchange",
    "is_grad_enabled",
    "linspace",
    "manual_seed",
    "methods",
    "multinomial",
    "no_grad",
    "ones",
    "ones_like",
    "operators",
    "printing",
    "rand",
    "rand_like",
    "randint",
    "randn",
    "randn_like",
    "randperm",
    "stack",
    "storage",
    "tensor",
    "where",
    "zeros",
    "zeros_like",
]
