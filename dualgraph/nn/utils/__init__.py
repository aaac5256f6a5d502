"""nn.utils: what is done to the parameters and gradients of modules, and sequences of unequal length.

Its modules:

    clip_grad            gradients held to a norm or a range
    convert              parameters as one vector, and back
    made of others       parametrize, parametrizations (ready ones), orthogonal, prune (masks), norms (older names)
    sequences            rnn (filled up, or packed), packed (what packed ones are)
"""

from . import parametrizations, parametrize, prune, rnn
from .clip_grad import (
    clip_grad_norm_,
    clip_grad_value_,
    clip_grads_with_norm_,
    get_total_norm,
)
from .convert import parameters_to_vector, vector_to_parameters
from .norms import remove_spectral_norm, remove_weight_norm, spectral_norm, weight_norm

__all__ = [
    "clip_grad_norm_",
    "clip_grad_value_",
    "clip_grads_with_norm_",
    "get_total_norm",
    "parameters_to_vector",
    "parametrizations",
    "parametrize",
    "prune",
    "remove_spectral_norm",
    "remove_weight_norm",
    "rnn",
    "spectral_norm",
    "vector_to_parameters",
    "weight_norm",
]
