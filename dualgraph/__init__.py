"""dualgraph: a tensor engine with two modes and one meaning - eager, or captured and compiled."""

from math import e, inf, nan, pi

from . import autograd
from . import data
from . import nn
from . import optim
from .backends.array import NumpyBackend
from .backends.cuda import cuda_backend
from .backends.native.threads import get_num_threads, set_num_threads
from .compare import Comparison, compare, verify
from .compile import capture, compile
from .core.backend import register_backend
from .core.devices import Device as device
from .core.dtypes import (
    DType as dtype, bfloat16, bool_ as bool, float32 as float, float64 as double, float16 as half,
    int32 as int, int64 as long, int16 as short, complex64, complex128, float16, float32, float64,
    get_default_dtype, int8, int16, int32, int64, set_default_dtype, uint8, uint16, uint32, uint64,
)  # fmt: skip
from .core.errors import (
    ArgumentError, AutogradError, AxisError, BoundsError, CaptureError, DeviceError, DTypeError,
    DualgraphError, FileFormatError, GraphError, ShapeError, StateError, TransformError,
)  # fmt: skip
from .eager import dispatch
from .eager.creation import (
    arange, as_tensor, asarray, default_device, empty, empty_like, eye, from_dlpack, from_numpy,
    full, full_like, linspace, ones, ones_like, set_default_device, tensor, zeros, zeros_like,
)  # fmt: skip
from .eager.dtype_info import __array_namespace_info__, finfo, iinfo, isdtype
from .eager.einsum import einsum
from .eager.functions import (
    all, any, argmax, argmin, argsort, clip, count_nonzero, cumulative_prod, cumulative_sum, diff,
    imag, matmul, max, min, nonzero, positive, prod, real, sort, sum, take, take_along_axis,
    tensordot, vecdot,
)  # fmt: skip
from .eager.grad_modes import (
    enable_grad, inference_mode, is_grad_enabled, no_grad, set_grad_enabled,
)  # fmt: skip
from .eager.operands import astype, can_cast, result_type
from .eager.random import (
    Generator, bernoulli, default_generator, get_rng_state, initial_seed, manual_seed, multinomial,
    normal, rand, rand_like, randint, randint_like, randn, randn_like, randperm, seed,
    set_rng_state,
)  # fmt: skip
from .eager.sets import (
    bincount, bucketize, histc, isin, searchsorted, unique, unique_all, unique_consecutive,
    unique_counts, unique_inverse, unique_values,
)  # fmt: skip
from .eager.shapes import (
    broadcast_arrays, broadcast_to, concat, expand_dims, flip, matrix_transpose, meshgrid, moveaxis,
    pad, permute_dims, repeat, reshape, roll, squeeze, stack, tile, tril, triu, unstack,
)  # fmt: skip
from .eager.statistics import log_softmax, mean, softmax, std, var
from .eager.tensor import Tensor
from .eager.torch_names import (
    absolute, arccos, arccosh, arcsin, arcsinh, arctan, arctan2, arctanh, block_diag, bitwise_not,
    cartesian_prod, cdist, corrcoef, cov, dist, fix, fmax, fmin, float_power, hsplit, isneginf,
    isposinf, msort, nanmean, nansum, quantile, rot90, trapezoid, vsplit, addbmm, addcdiv, addcmul,
    addmm, addmv, addr, allclose, amax, amin, aminmax, argwhere, atleast_1d, atleast_2d, atleast_3d,
    baddbmm, bmm, broadcast_tensors, cat, chunk, clamp, clamp_max, clamp_min, clone, column_stack,
    combinations, cross, cummax, cummin, cumprod, cumsum, deg2rad, detach, diag, diag_embed,
    diagonal, div, dot, dstack, eq, flatten, fliplr, flipud, frac, gather, ge, ger, gt, heaviside,
    hstack, index_add, index_copy, index_fill, index_put, index_select, inner, is_complex,
    is_floating_point, is_tensor, isclose, kron, kthvalue, le, lerp, logit, logspace, logsumexp, lt,
    masked_fill, masked_scatter, masked_select, matrix_power, median, mm, mode, movedim, mul, mv,
    nan_to_num, narrow, ne, neg, norm, numel, outer, permute, rad2deg, ravel, relu,
    repeat_interleave, scatter, scatter_add, scatter_reduce, select, sinc, split, std_mean, sub,
    swapaxes, swapdims, t, take_along_dim, tensor_split, topk, trace, transpose, tril_indices,
    triu_indices, true_divide, unbind, unflatten, unsqueeze, var_mean, vdot, vstack, xlogy,
)  # fmt: skip
from .ops.arithmetic import (
    abs, add, bitwise_and, bitwise_invert, bitwise_left_shift, bitwise_or, bitwise_right_shift,
    bitwise_xor, ceil, conj, copysign, divide, equal, floor, floor_divide, fmod, greater,
    greater_equal, isfinite, isinf, isnan, less, less_equal, logical_and, logical_not, logical_or,
    logical_xor, maximum, minimum, multiply, negative, nextafter, not_equal, reciprocal, remainder,
    round, rsqrt, sign, signbit, sqrt, square, subtract, trunc, where,
)  # fmt: skip
from .ops.arithmetic import cast as _cast
from .ops.transcendental import (
    acos, acosh, asin, asinh, atan, atan2, atanh, cbrt, cos, cosh, erf, erfc, exp, exp2, expm1,
    hypot, log, log10, log1p, log2, logaddexp, pow, sigmoid, sin, sinh, tan, tanh,
)  # fmt: skip
from .serialise import load, save
from .static.parser import parse
from .transforms import (
    checkpoint, grad, hessian, jacfwd, jacobian, jacrev, jvp, linearize, value_and_grad, vjp, vmap,
)  # fmt: skip

__version__ = "0.1.0"
newaxis = None

register_backend("cpu", NumpyBackend)
register_backend("cuda", cuda_backend)
dispatch.install(_cast)

__all__ = [
    "__array_namespace_info__", "__version__", "abs", "absolute", "acos", "acosh", "add", "addbmm",
    "addcdiv", "addcmul", "addmm", "addmv", "addr", "all", "allclose", "amax", "amin", "aminmax",
    "any", "arange", "arccos", "arccosh", "arcsin", "arcsinh", "arctan", "arctan2", "arctanh",
    "argmax", "argmin", "argsort", "ArgumentError", "argwhere", "as_tensor", "asarray", "asin",
    "asinh", "astype", "atan", "atan2", "atanh", "atleast_1d", "atleast_2d", "atleast_3d",
    "autograd", "AutogradError", "AxisError", "baddbmm", "bernoulli", "bfloat16", "bincount",
    "bitwise_and", "bitwise_invert", "bitwise_left_shift", "bitwise_not", "bitwise_or",
    "bitwise_right_shift", "bitwise_xor", "block_diag", "bmm", "bool", "BoundsError",
    "broadcast_arrays", "broadcast_tensors", "broadcast_to", "bucketize", "can_cast", "capture",
    "CaptureError", "cartesian_prod", "cat", "cbrt", "cdist", "ceil", "checkpoint", "chunk",
    "clamp", "clamp_max", "clamp_min", "clip", "clone", "column_stack", "combinations", "compare",
    "Comparison", "compile", "complex128", "complex64", "concat", "conj", "copysign", "corrcoef",
    "cos", "cosh", "count_nonzero", "cov", "cross", "cummax", "cummin", "cumprod", "cumsum",
    "cumulative_prod", "cumulative_sum", "data", "default_device", "default_generator", "deg2rad",
    "detach", "device", "DeviceError", "diag", "diag_embed", "diagonal", "diff", "dist", "div",
    "divide", "dot", "double", "dstack", "dtype", "DTypeError", "DualgraphError", "e", "einsum",
    "empty", "empty_like", "enable_grad", "eq", "equal", "erf", "erfc", "exp", "exp2",
    "expand_dims", "expm1", "eye", "FileFormatError", "finfo", "fix", "flatten", "flip", "fliplr",
    "flipud", "float", "float16", "float32", "float64", "float_power", "floor", "floor_divide",
    "fmax", "fmin", "fmod", "frac", "from_dlpack", "from_numpy", "full", "full_like", "gather",
    "ge", "Generator", "ger", "get_default_dtype", "get_num_threads", "get_rng_state", "grad",
    "GraphError", "greater", "greater_equal", "gt", "half", "heaviside", "hessian", "histc",
    "hsplit", "hstack", "hypot", "iinfo", "imag", "index_add", "index_copy", "index_fill",
    "index_put", "index_select", "inf", "inference_mode", "initial_seed", "inner", "int", "int16",
    "int32", "int64", "int8", "is_complex", "is_floating_point", "is_grad_enabled", "is_tensor",
    "isclose", "isdtype", "isfinite", "isin", "isinf", "isnan", "isneginf", "isposinf", "jacfwd",
    "jacobian", "jacrev", "jvp", "kron", "kthvalue", "le", "lerp", "less", "less_equal",
    "linearize", "linspace", "load", "log", "log10", "log1p", "log2", "log_softmax", "logaddexp",
    "logical_and", "logical_not", "logical_or", "logical_xor", "logit", "logspace", "logsumexp",
    "long", "lt", "manual_seed", "masked_fill", "masked_scatter", "masked_select", "matmul",
    "matrix_power", "matrix_transpose", "max", "maximum", "mean", "median", "meshgrid", "min",
    "minimum", "mm", "mode", "moveaxis", "movedim", "msort", "mul", "multinomial", "multiply", "mv",
    "nan", "nan_to_num", "nanmean", "nansum", "narrow", "ne", "neg", "negative", "newaxis",
    "nextafter", "nn", "no_grad", "nonzero", "norm", "normal", "not_equal", "numel", "ones",
    "ones_like", "optim", "outer", "pad", "parse", "permute", "permute_dims", "pi", "positive",
    "pow", "prod", "quantile", "rad2deg", "rand", "rand_like", "randint", "randint_like", "randn",
    "randn_like", "randperm", "ravel", "real", "reciprocal", "relu", "remainder", "repeat",
    "repeat_interleave", "reshape", "result_type", "roll", "rot90", "round", "rsqrt", "save",
    "scatter", "scatter_add", "scatter_reduce", "searchsorted", "seed", "select",
    "set_default_device", "set_default_dtype", "set_grad_enabled", "set_num_threads",
    "set_rng_state", "ShapeError", "short", "sigmoid", "sign", "signbit", "sin", "sinc", "sinh",
    "softmax", "sort", "split", "sqrt", "square", "squeeze", "stack", "StateError", "std",
    "std_mean", "sub", "subtract", "sum", "swapaxes", "swapdims", "t", "take", "take_along_axis",
    "take_along_dim", "tan", "tanh", "Tensor", "tensor", "tensor_split", "tensordot", "tile",
    "topk", "trace", "TransformError", "transpose", "trapezoid", "tril", "tril_indices", "triu",
    "triu_indices", "true_divide", "trunc", "uint16", "uint32", "uint64", "uint8", "unbind",
    "unflatten", "unique", "unique_all", "unique_consecutive", "unique_counts", "unique_inverse",
    "unique_values", "unsqueeze", "unstack", "value_and_grad", "var", "var_mean", "vdot", "vecdot",
    "verify", "vjp", "vmap", "vsplit", "vstack", "where", "xlogy", "zeros", "zeros_like",
]  # fmt: skip
