"""dualgraph: a tensor engine with two modes and one meaning - eager, or captured and compiled."""
# The public names, packed: a line each would be too many.
# isort: off
# fmt: off

import importlib
from functools import partial as _partial
from math import e, inf, nan, pi
from typing import TYPE_CHECKING, Any

from .core.process import paused as _paused
from . import autograd
from .backends.array import NumpyBackend
from .backends import eager_loops as _eager_loops
from . import merge as _merge
from . import sweeps as _sweeps
from .backends import quicken as _quicken
from .backends import turned as _turned
from .backends.cuda import cuda_backend
from .control import cond, fori_loop, map, scan, switch, while_loop
from .core.backend import register_backend as _register_backend
from .core.devices import Device as device
from .core.dtypes import (
    bool_ as bool, complex128 as cdouble, complex64 as cfloat, float64 as double, DType as dtype,
    float32 as float, float16 as half,
    int32 as int, int64 as long, int16 as short,
)
from .core.dtypes import (
    bfloat16, complex128, complex64, float16, float32, float64, get_default_dtype, int16, int32,
    int64, int8, set_default_dtype, uint16, uint32, uint64, uint8,
)
from .core.prim import LATE as _LATE
from .core.errors import (
    ArgumentError, AutogradError, AxisError, BoundsError, CaptureError, DeviceError, DTypeError,
    DualgraphError, FileFormatError, GraphError, LinAlgError, MemoryBudgetError, NanError, ShapeError,
    StateError, TransformError,
)
from .eager import dispatch as _dispatch
from .eager.attach import later as _later
from .eager.creation import default_device as get_default_device
from .eager.creation import (
    as_tensor, asarray, default_device, from_dlpack, from_numpy, set_default_device, tensor,
)
from .eager.dtype_info import __array_namespace_info__, finfo, iinfo, isdtype
from .eager.einsum import einsum
from .eager.filling import (
    arange, empty, empty_like, eye, full, full_like, linspace, ones, ones_like, zeros, zeros_like,
)
from .eager.functions import (
    all, any, argmax, argmin, argsort, clip, count_nonzero, cumulative_prod, cumulative_sum, diff,
    imag, matmul, max, min, nonzero, positive, prod, real, sort, sum, take, take_along_axis,
    tensordot, vecdot,
)
from .eager.grad_modes import (
    enable_grad, inference_mode, is_grad_enabled, no_grad, set_grad_enabled,
)
from .eager.methods.elementwise import (
    addcdiv, addcmul, allclose, clamp, clamp_max, clamp_min, deg2rad, div, float_power, fmax, fmin,
    frac, heaviside, isclose, isneginf, isposinf, lerp, logit, nan_to_num, rad2deg, round, sinc, sub,
    xlogy,
)
from .eager.methods.further import (
    angle, broadcast_shapes, complex, diagflat, dsplit, isreal, logaddexp2, logcumsumexp, nanmedian,
    polar, promote_types, put, sgn, vander, view_as_complex, view_as_real,
)
from .eager.methods.strided import as_strided
from .eager.methods.replaced import (
    as_strided_scatter, diagonal_scatter, index_reduce, select_scatter, slice_scatter,
)
from .eager.interchange import clone, detach
from .eager.methods.conversion import (
    get_device, is_complex, is_conj, is_floating_point, is_neg, is_nonzero, is_same_size, is_signed,
    numel, resolve_conj, resolve_neg,
)
from .eager.methods.ordering import cummax, cummin, kthvalue, median, mode, msort, topk
from .eager.methods.parts import (
    chunk, diag, diag_embed, diagonal, hsplit, narrow, select, split, tensor_split, trace, unbind,
    vsplit,
)
from .eager.methods.products import (
    addbmm, addmm, addmv, addr, baddbmm, bmm, cross, dot, inner, kron, matrix_power, mm, mv, outer,
    vdot,
)
from .eager.methods.reduction import (
    amax, amin, aminmax, cumprod, cumsum, logsumexp, norm, std_mean, var_mean,
)
from .eager.methods.selection import (
    argwhere, gather, index_add, index_copy, index_fill, index_put, index_select, masked_fill,
    masked_scatter, masked_select, scatter, scatter_add, scatter_reduce, take_along_dim,
)
from .eager.methods.shape import (
    flatten, fliplr, flipud, movedim, permute, ravel, repeat_interleave, rot90, t, transpose,
    unflatten, unsqueeze,
)
from .eager.methods.special import frexp, lcm, ldexp, mvlgamma, polygamma
from .eager.methods.spread import cdist, corrcoef, cov, dist, nanmean, nanquantile, nansum, pdist, quantile, renorm
from .eager.older import (
    BFloat16Tensor, BoolTensor, ByteTensor, CharTensor, DoubleTensor, FloatTensor, HalfTensor, IntTensor, LongTensor,
    ShortTensor,
)
from .eager.operands import astype, can_cast, result_type
from .eager.printing import set_printoptions
from .eager.random import (
    bernoulli, default_generator, Generator, get_rng_state, initial_seed, manual_seed, multinomial,
    normal, rand, rand_like, randint, randint_like, randn, randn_like, randperm, seed,
    set_rng_state,
)
from .eager.sets import (
    bincount, bucketize, histc, histogram, histogramdd, isin, searchsorted, unique, unique_all, unique_consecutive,
    unique_counts, unique_inverse, unique_values,
)
from .eager.shapes import (
    broadcast_arrays, broadcast_to, concat, expand_dims, flip, matrix_transpose, meshgrid, moveaxis,
    pad, permute_dims, repeat, reshape, roll, squeeze, stack, tile, tril, triu, unstack,
)
from .eager.statistics import log_softmax, mean, softmax, std, var
from .eager.tensor import Tensor
from .eager.torch_names import (
    absolute, arccos, arccosh, arcsin, arcsinh, arctan, arctan2, arctanh, atleast_1d, atleast_2d,
    atleast_3d, bitwise_not, block_diag, broadcast_tensors, cartesian_prod, cat, channels_last,
    channels_last_3d, column_stack, combinations, concatenate, conj_physical, contiguous_format,
    dstack, eq, fill, fix, ge, ger, gt, hstack, is_tensor, layout, le, logspace, lt, memory_format,
    mul, ne, neg, pow, preserve_format, relu, rsub, scalar_tensor, strided, swapaxes, swapdims, row_stack, tril_indices,
    triu_indices, true_divide, unravel_index, vstack,
)
from .ops.arithmetic import (
    abs, add, ceil, conj, copysign, divide, floor, floor_divide, fmod, maximum, minimum, multiply,
    negative, reciprocal, remainder, rsqrt, sign, sqrt, square, subtract, trunc, where,
)
from .ops.comparison import (
    bitwise_and, bitwise_invert, bitwise_left_shift, bitwise_or, bitwise_right_shift, bitwise_xor,
    equal, greater, greater_equal, isfinite, isinf, isnan, less, less_equal, logical_and,
    logical_not, logical_or, logical_xor, not_equal, signbit,
)
from .ops.neighbours import nextafter
from .ops.special import digamma, erfinv, gcd, lgamma
from .ops.transcendental import (
    acos, acosh, asin, asinh, atan, atan2, atanh, cbrt, cos, cosh, erf, erfc, exp, exp2, expm1,
    hypot, log, log10, log1p, log2, logaddexp, sigmoid, sin, sinh, tan, tanh,
)
from .static.parser import parse
from .threads import get_num_threads, set_num_threads
from .transforms import (
    checkpoint, grad, hessian, jacfwd, jacobian, jacrev, jvp, linearize, value_and_grad, vjp, vmap,
)

if TYPE_CHECKING:
    from . import amp, cuda, data, distributed, distributions, fft, func, linalg, masked, nn, optim, profiler
    from . import quantization, signal, special, summaries, testing
    from .comparison import compare, Comparison
    from .debugging import bisect, debug_nans, tap_point, verify
    from .jit.compile import capture, compile
    from .jit.declared import Dim
    from .linalg import det, inverse, logdet
    from .notebook import load_ipython_extension
    from .serialise import load, save

__version__ = "0.1.0"
__array_api_version__ = "2024.12"
newaxis = None
Size = tuple  # shapes are tuples
_HOMES = {
    "bisect": "debugging", "debug_nans": "debugging", "det": "linalg", "inverse": "linalg", "logdet": "linalg",
    "cumulative_trapezoid": "eager.calculus", "gradient": "eager.calculus", "tap_point": "debugging",
    "trapezoid": "eager.calculus", "trapz": "eager.calculus", "verify": "debugging",
    "capture": "jit.compile", "compile": "jit.compile", "Dim": "jit.declared",
    "compare": "comparison", "Comparison": "comparison", "load": "serialise", "save": "serialise",
}
_LAYERS = """
    alpha_dropout avg_pool1d bilinear celu channel_shuffle conv1d conv2d conv3d conv_transpose1d
    conv_transpose2d conv_transpose3d cosine_similarity dropout group_norm hardshrink layer_norm max_pool1d
    max_pool2d max_pool3d pairwise_distance pixel_shuffle pixel_unshuffle prelu rms_norm selu threshold
""".split()
_SIGNAL = "bartlett_window blackman_window hamming_window hann_window istft kaiser_window stft".split()
_HOMES |= dict.fromkeys(_SIGNAL, "signal")
_FACTORS = ("cholesky", "cholesky_inverse", "cholesky_solve", "matrix_exp", "pinverse", "qr", "slogdet")
_HOMES |= dict.fromkeys(_LAYERS, "nn.functional") | dict.fromkeys(_FACTORS, "linalg")
_OLDER = ("chain_matmul", "lu", "lu_solve", "pca_lowrank", "svd", "svd_lowrank", "triangular_solve")
_HOMES |= dict.fromkeys(_OLDER, "linalg.older") | dict.fromkeys(("lu_unpack", "matrix_rank"), "linalg")
_HOMES |= {"load_ipython_extension": "notebook", "i0": "special", "autocast": "amp", "GradScaler": "amp"}
_REPEATED = (
    "are_deterministic_algorithms_enabled", "get_float32_matmul_precision", "set_float32_matmul_precision",
    "use_deterministic_algorithms",
)
_HOMES |= dict.fromkeys(_REPEATED, "determinism")
_FAKES = ("fake_quantize_per_channel_affine", "fake_quantize_per_tensor_affine")
_HOMES |= dict.fromkeys(_FAKES, "quantization") | {"poisson": "distributions"}
_LATER = (
    "amp", "backends", "cuda", "data", "distributed", "distributions", "fft", "func", "linalg", "masked", "nn",
    "optim", "profiler", "quantization", "signal", "special", "summaries", "testing",
)

_register_backend("cpu", NumpyBackend)
_register_backend("cuda", cuda_backend)
_dispatch.install()
_quicken.register()
_eager_loops.register()
_turned.register()
_merge.register()
_sweeps.register()
for _name in ("nn", "linalg", "fft", "special"):
    _LATE.append(_partial(importlib.import_module, f".{_name}", __name__))

_later(_partial(importlib.import_module, ".linalg", __name__), """
    cholesky cholesky_inverse cholesky_solve det inverse logdet matrix_exp pinverse qr slogdet""")
_later(_partial(importlib.import_module, ".linalg.older", __name__), "lu lu_solve svd triangular_solve")
_later(_partial(importlib.import_module, ".nn.functional", __name__), "hardshrink prelu")
_later(_partial(importlib.import_module, ".special", __name__), "i0")
_later(_partial(importlib.import_module, ".signal", __name__), "istft stft")

_paused.resume()


def __getattr__(name: str) -> Any:
    """The parts that not every program needs, imported when first asked for."""
    if name in _LATER:
        return importlib.import_module(f".{name}", __name__)
    if name in _HOMES:
        value = globals()[name] = getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)
        return value
    raise AttributeError(f"module 'dualgraph' has no attribute {name!r}")


def __dir__() -> list[str]:
    """The public names; those that are imported when first asked for are among them."""
    return __all__


__all__ = [
    "BFloat16Tensor", "BoolTensor", "ByteTensor", "CharTensor", "DoubleTensor", "FloatTensor", "HalfTensor",
    "IntTensor", "LongTensor", "ShortTensor",
    "__array_api_version__", "__array_namespace_info__", "__version__",
    "abs", "absolute", "acos", "acosh", "add", "addbmm",
    "amp", "are_deterministic_algorithms_enabled", "autocast", "get_float32_matmul_precision", "GradScaler",
    "set_float32_matmul_precision", "use_deterministic_algorithms", "load_ipython_extension",
    "det", "fft", "inverse", "linalg", "logdet",
    "alpha_dropout", "avg_pool1d", "bilinear", "celu", "channel_shuffle", "conv1d", "conv2d", "conv3d",
    "conv_transpose1d", "conv_transpose2d", "conv_transpose3d", "cosine_similarity", "dropout", "group_norm",
    "hardshrink", "layer_norm", "max_pool1d", "max_pool2d", "max_pool3d", "pairwise_distance",
    "pixel_shuffle", "pixel_unshuffle", "prelu", "rms_norm", "selu", "threshold",
    "cholesky", "cholesky_inverse", "cholesky_solve", "matrix_exp", "pinverse", "qr", "slogdet",
    "chain_matmul", "LinAlgError", "lu", "lu_solve", "lu_unpack", "matrix_rank", "pca_lowrank", "svd", "svd_lowrank",
    "triangular_solve",
    "concatenate", "row_stack", "trapz", "cuda", "masked", "profiler", "quantization", "summaries",
    "fake_quantize_per_channel_affine", "fake_quantize_per_tensor_affine", "get_default_device", "poisson", "Size",
    "digamma", "distributed", "distributions", "erfinv", "func", "gcd", "lcm", "ldexp", "lgamma", "mvlgamma",
    "polygamma", "special",
    "bartlett_window", "blackman_window", "hamming_window", "hann_window", "istft", "kaiser_window", "i0", "signal",
    "stft", "testing", "cumulative_trapezoid", "pdist", "frexp", "gradient", "unravel_index",
    "as_strided", "as_strided_scatter", "cdouble", "cfloat", "channels_last", "channels_last_3d", "conj_physical",
    "contiguous_format", "diagonal_scatter", "fill", "get_device", "histogram", "histogramdd", "index_reduce",
    "is_conj", "is_neg", "is_nonzero", "layout", "strided", "is_same_size", "is_signed", "memory_format", "nanquantile",
    "preserve_format", "put", "renorm", "resolve_conj", "resolve_neg", "rsub", "scalar_tensor", "select_scatter",
    "slice_scatter",
    "angle", "broadcast_shapes", "complex", "diagflat", "dsplit", "isreal", "logaddexp2", "logcumsumexp",
    "nanmedian", "polar", "promote_types", "sgn", "vander", "view_as_complex", "view_as_real",
    "addcdiv", "addcmul", "addmm", "addmv", "addr", "all", "allclose", "amax", "amin", "aminmax",
    "any", "arange", "arccos", "arccosh", "arcsin", "arcsinh", "arctan", "arctan2", "arctanh",
    "argmax", "argmin", "argsort", "ArgumentError", "argwhere", "as_tensor", "asarray", "asin",
    "asinh", "astype", "atan", "atan2", "atanh", "atleast_1d", "atleast_2d", "atleast_3d",
    "autograd", "AutogradError", "AxisError", "baddbmm", "bernoulli", "bfloat16", "bincount", "bisect",
    "bitwise_and", "bitwise_invert", "bitwise_left_shift", "bitwise_not", "bitwise_or",
    "bitwise_right_shift", "bitwise_xor", "block_diag", "bmm", "bool", "BoundsError",
    "broadcast_arrays", "broadcast_tensors", "broadcast_to", "bucketize", "can_cast", "capture",
    "CaptureError", "cartesian_prod", "cat", "cbrt", "cdist", "ceil", "checkpoint", "chunk",
    "clamp", "clamp_max", "clamp_min", "clip", "clone", "column_stack", "combinations", "compare",
    "Comparison", "Dim", "compile", "complex128", "complex64", "concat", "cond", "conj", "copysign",
    "corrcoef", "cos", "cosh", "count_nonzero", "cov", "cross", "cummax", "cummin", "cumprod",
    "cumsum", "cumulative_prod", "cumulative_sum", "data", "default_device", "default_generator",
    "debug_nans", "deg2rad", "detach", "device", "DeviceError", "diag", "diag_embed", "diagonal", "diff", "dist",
    "div", "divide", "dot", "double", "dstack", "dtype", "DTypeError", "DualgraphError", "e",
    "einsum", "empty", "empty_like", "enable_grad", "eq", "equal", "erf", "erfc", "exp", "exp2",
    "expand_dims", "expm1", "eye", "FileFormatError", "finfo", "fix", "flatten", "flip", "fliplr",
    "flipud", "float", "float16", "float32", "float64", "float_power", "floor", "floor_divide",
    "fmax", "fmin", "fmod", "fori_loop", "frac", "from_dlpack", "from_numpy", "full", "full_like", "gather",
    "ge", "Generator", "ger", "get_default_dtype", "get_num_threads", "get_rng_state", "grad",
    "GraphError", "greater", "greater_equal", "gt", "half", "heaviside", "hessian", "histc",
    "hsplit", "hstack", "hypot", "iinfo", "imag", "index_add", "index_copy", "index_fill",
    "index_put", "index_select", "inf", "inference_mode", "initial_seed", "inner", "int", "int16",
    "int32", "int64", "int8", "is_complex", "is_floating_point", "is_grad_enabled", "is_tensor",
    "isclose", "isdtype", "isfinite", "isin", "isinf", "isnan", "isneginf", "isposinf", "jacfwd",
    "jacobian", "jacrev", "jvp", "kron", "kthvalue", "le", "lerp", "less", "less_equal",
    "linearize", "linspace", "load", "log", "log10", "log1p", "log2", "log_softmax", "logaddexp",
    "logical_and", "logical_not", "logical_or", "logical_xor", "logit", "logspace", "logsumexp",
    "long", "lt", "manual_seed", "map", "masked_fill", "masked_scatter", "masked_select", "matmul",
    "matrix_power", "matrix_transpose", "max", "MemoryBudgetError", "maximum", "mean", "median", "meshgrid", "min",
    "minimum", "mm", "mode", "moveaxis", "movedim", "msort", "mul", "multinomial", "multiply", "mv",
    "nan", "nan_to_num", "NanError", "nanmean", "nansum", "narrow", "ne", "neg", "negative", "newaxis",
    "nextafter", "nn", "no_grad", "nonzero", "norm", "normal", "not_equal", "numel", "ones",
    "ones_like", "optim", "outer", "pad", "parse", "permute", "permute_dims", "pi", "positive",
    "pow", "prod", "quantile", "rad2deg", "rand", "rand_like", "randint", "randint_like", "randn",
    "randn_like", "randperm", "ravel", "real", "reciprocal", "relu", "remainder", "repeat",
    "repeat_interleave", "reshape", "result_type", "roll", "rot90", "round", "rsqrt", "save",
    "scan", "scatter", "scatter_add", "scatter_reduce", "searchsorted", "seed", "select",
    "set_default_device", "set_default_dtype", "set_grad_enabled", "set_num_threads", "set_printoptions",
    "set_rng_state", "ShapeError", "short", "sigmoid", "sign", "signbit", "sin", "sinc", "sinh",
    "softmax", "sort", "split", "sqrt", "square", "squeeze", "stack", "StateError", "std",
    "std_mean", "sub", "subtract", "sum", "swapaxes", "swapdims", "switch", "t", "take", "take_along_axis",
    "take_along_dim", "tan", "tap_point", "tanh", "Tensor", "tensor", "tensor_split", "tensordot", "tile",
    "topk", "trace", "TransformError", "transpose", "trapezoid", "tril", "tril_indices", "triu",
    "triu_indices", "true_divide", "trunc", "uint16", "uint32", "uint64", "uint8", "unbind",
    "unflatten", "unique", "unique_all", "unique_consecutive", "unique_counts", "unique_inverse",
    "unique_values", "unsqueeze", "unstack", "value_and_grad", "var", "var_mean", "vdot", "vecdot",
    "verify", "vjp", "vmap", "vsplit", "vstack", "where", "while_loop", "xlogy", "zeros",
    "zeros_like",
]
