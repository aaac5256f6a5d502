"""Reader: runs a saved program with NumPy alone. One file to be copied, which defines the format by reading it.

    python reader.py net.dg                       # runs the test vectors and says how far off they are
    f = reader.load("net.dg"); f(x); f.state      # arguments and results as the original's, with arrays for tensors

What is computed exactly (sums of integers, indexing, random numbers) has the bits of dualgraph; the rest is as close as
NumPy is, a few units in the last place an op. bfloat16 is given as float32.
"""
# Packed, so that it can be read in one go.
# fmt: off

import base64, itertools, json, math, re, statistics, struct, sys, types, zlib  # noqa: E401, I001
import numpy as np

LIMIT = 1 << 34  # bytes that one value may take
FULL = {"u": "uint", "i": "int", "f": "float", "bf": "bfloat", "c": "complex"}
NAMES = {s: FULL.get(s.rstrip("0123456789"), s) + s.lstrip("abcdefghijklmnopqrstuvwxyz") for s in
         "bool u8 i8 u16 i16 u32 i32 u64 i64 f16 bf16 f32 f64 c64 c128".split()}
SHORT = {name: short for short, name in NAMES.items()} | {short: short for short in NAMES}

def numpy_dtype(dtype, stored=False):
    """The NumPy dtype in which values are computed, or in which a file holds them."""
    return np.dtype({"bf16": "uint16" if stored else "float32"}.get(SHORT[dtype], NAMES[SHORT[dtype]]))

def widened(array, dtype):
    """Values as they are in a file (bfloat16 as the upper half of float32)."""
    return (array.astype("uint32") << 16).view("float32") if SHORT[dtype] == "bf16" else array

def rounded(value, dtype):
    """A result in its dtype; for bfloat16 the nearest one, ties to even."""
    value = np.asarray(value).astype(numpy_dtype(dtype), copy=False)
    bits = value.copy().view("uint32") if SHORT[dtype] == "bf16" else np.zeros((), "uint32")
    near = ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16 << 16).view("float32")
    return np.where(np.isnan(value), value, near) if SHORT[dtype] == "bf16" else value

# --- the container: a safetensors file --------------------------------------------------------------

def read(path):
    """Arrays by name, and the metadata. Every length is checked before memory is taken."""
    with open(path, "rb") as file:
        content = memoryview(file.read())
    length = int.from_bytes(content[:8], "little")
    if not 0 < length <= len(content) - 8:
        raise ValueError(f"a header of {length} bytes in a file of {len(content)}")
    header, data, arrays = json.loads(bytes(content[8 : 8 + length])), content[8 + length :], {}
    seal = header["__metadata__"].pop("dualgraph.crc32")
    if f"{zlib.crc32(data, zlib.crc32(json.dumps(header, sort_keys=True).encode())):08x}" != seal:
        raise ValueError("the file is damaged: its checksum does not fit")
    metadata = header.pop("__metadata__")
    for name, entry in header.items():
        dtype = next(s for s in NAMES if s.upper() == entry["dtype"])
        (start, stop), kind = entry["data_offsets"], numpy_dtype(dtype, stored=True)
        if not 0 <= start <= stop <= len(data) or stop - start != math.prod(entry["shape"]) * kind.itemsize:
            raise ValueError(f"{name} does not lie in the file")
        flat = np.frombuffer(data[start:stop], kind.newbyteorder("<")).astype(kind)
        arrays[name] = widened(flat.reshape(entry["shape"]), dtype)
    return arrays, metadata

# --- the text of graphs -----------------------------------------------------------------------------

TOKEN = re.compile(r"""\s+|\#[^\n]*|(?P<var>%\d+)|(?P<type>[a-z]+\d*\[[\d,]*\])|(?P<string>"(?:[^"\\\n]|\\.)*")
    |(?P<number>-?(?:inf\b|nan\(0x[0-9a-f]{16}\)|nan\b|\d+(?:\.\d+)?(?:[eE][+-]?\d+)?))|(?P<name>[A-Za-z_]\w*)
    |(?P<mark>[(){}\[\],:=])|(?P<wrong>.)""", re.VERBOSE)

class Type:
    """``f32[2,3]``."""
    def __init__(self, text):
        self.dtype, _, rest = text.partition("[")
        self.shape = tuple(map(int, rest[:-1].split(","))) if rest != "]" else ()
        if math.prod(self.shape) * numpy_dtype(self.dtype).itemsize > LIMIT:
            raise ValueError(f"a value {text} takes more than {LIMIT} bytes")

class Graph:
    """`inputs` [(var, Type)], `nodes` [(as inputs, op, operands, parameters)], `outputs`; operands: "%3" or numbers."""
    def __init__(self, inputs, nodes, outputs):
        self.inputs, self.nodes, self.outputs = inputs, nodes, outputs
        kinds = dict([*inputs, *(out for outs, *_ in nodes for out in outs)])
        self.types = [kinds[v] if isinstance(v, str) else None for v in outputs]
    def run(self, arrays):
        """The outputs for these inputs, op by op."""
        env = {var: a for (var, _), a in zip(self.inputs, arrays, strict=True)}
        for outs, op, operands, params in self.nodes:
            if op not in OPS:
                raise NotImplementedError(f"this reader lacks the op {op}")
            with np.errstate(all="ignore"):
                found = OPS[op](*(env[v] if isinstance(v, str) else v for v in operands), **params)
            for (var, type), array in zip(outs, found if isinstance(found, (tuple, list)) else [found], strict=True):
                env[var] = rounded(array, type.dtype)
                if env[var].shape != type.shape:
                    raise ValueError(f"{op} gave shape {env[var].shape}, not {type.shape}")
        return [np.asarray(env[v] if isinstance(v, str) else v) for v in self.outputs]

class Parser:
    """Recursive descent over the tokens of a text."""
    def __init__(self, text):
        self.tokens = [(m.lastgroup, m.group()) for m in TOKEN.finditer(text) if m.lastgroup] + [("end", "the end")] * 2
        self.at = 0
    def next(self, *wanted):
        """The text of the last of some tokens, each of this kind, or this text."""
        for want in wanted:
            if want not in self.tokens[self.at]:
                raise ValueError(f"expected {want}, found {self.tokens[self.at][1]!r}")
            self.at += 1
        return self.tokens[self.at - 1][1]
    def accept(self, text):
        self.at += (found := self.tokens[self.at][1] == text)
        return found
    def items(self, close, item):
        out = []
        while not self.accept(close):
            out.append(item())
            self.accept(",")
        return out
    def assigned(self):
        return self.next("var"), Type(self.next(":", "type"))
    def graph(self):
        inputs = self.items(")", self.assigned)
        self.next("{")
        return Graph(inputs, self.items("return", self.node), self.items("}", self.value))
    def node(self):
        outs = self.items("=", lambda: None if self.accept("(") or self.accept(")") else self.assigned())
        op, _ = self.next("name"), self.next("(")
        given = self.items(")", self.argument)
        return [o for o in outs if o], op, [v for k, v in given if not k], {k: v for k, v in given if k}
    def argument(self):
        name = self.next("name", "=") and self.tokens[self.at - 2][1] if self.tokens[self.at + 1][1] == "=" else ""
        return name, self.value()
    def value(self):
        """A parameter or an operand; a number whose dtype follows is one."""
        value = self.simple_value(*self.tokens[self.at])
        dtype = self.accept(":") and self.next("name")
        return rounded(numpy_dtype(dtype).type(value), dtype)[()] if dtype else value
    def simple_value(self, kind, text):
        self.at += 1
        if kind in ("var", "string", "type"):
            return {"var": str, "string": json.loads, "type": Type}[kind](text)
        if kind == "number":
            if text.startswith("nan("):
                return struct.unpack("<d", int(text[4:-1], 16).to_bytes(8, "little"))[0]
            return float(text) if any(c in text for c in ".enf") else int(text)
        if text in ("(", "["):
            return tuple(self.items(")", self.value)) if text == "(" else self.items("]", self.value)
        if self.tokens[self.at][1] != "(":
            return {"None": None, "True": True, "False": False, **{d: d for d in SHORT}}[text]
        self.next("(")
        if text == "graph":
            return self.graph()
        args = self.items(")", self.value)
        if text != "array":
            return {"complex": complex, "slice": slice, "device": str}[text](*args)
        kind = numpy_dtype(args[0].dtype, stored=True)
        flat = np.frombuffer(base64.b64decode(args[1]), kind) if isinstance(args[1], str) else np.array(args[1], kind)
        return widened(flat.reshape(args[0].shape), args[0].dtype)

def value_of(text): return Parser(text).value()

# --- the ops ----------------------------------------------------------------------------------------

SAME = """equal not_equal less less_equal greater greater_equal logical_and logical_or logical_xor logical_not isnan
    isinf isfinite signbit bitwise_and bitwise_or bitwise_xor bitwise_left_shift bitwise_right_shift add
    subtract multiply divide negative abs square sqrt maximum minimum floor_divide remainder fmod copysign
    where exp exp2 expm1 log log2 log10 log1p sin cos tan asin acos atan atan2 sinh cosh tanh asinh acosh
    atanh hypot logaddexp cbrt nextafter gcd"""
OPS = {name: getattr(np, name, None) or getattr(np, "arc" + name[1:]) for name in SAME.split()}
WIDE = {"b": "int64", "i": "int64", "u": "uint64"}  # small integers are added up in 64 bits
def wide(x): return x.astype(WIDE.get(x.dtype.kind, x.dtype))
def whole(function): return lambda x: x if x.dtype.kind in "bui" else function(x)
def by_element(function): return lambda x: np.vectorize(function, otypes=[float])(np.asarray(x, float))
def reduction(function):
    """Folds `axes`, flattened into one in their order."""
    def apply(x, axes, keepdims):
        kept = [i for i in range(x.ndim) if i not in axes]
        rows = x.transpose(*kept, *axes).reshape(*(x.shape[i] for i in kept), math.prod(x.shape[a] for a in axes))
        shape = [d if i in kept else 1 for i, d in enumerate(x.shape) if keepdims or i in kept]
        return function(rows, -1).reshape(shape)
    return apply
def slices(starts, stops, steps):
    return tuple(slice(a, None if b < 0 else b, s) for a, b, s in zip(starts, stops, steps, strict=True))
def put(x, places, values, mode="set"):
    out = x.copy()
    np.add.at(out, places, values) if mode == "add" else out.__setitem__(places, values)
    return out
def along(at, axis):
    """Index arrays that pick `at` along one axis, and the own place along the others."""
    return tuple(at if i == axis else a for i, a in enumerate(np.ogrid[tuple(map(slice, at.shape))]))
def places(at, dims):
    return tuple(at[dims.index(i)] if i in dims else slice(None) for i in range(max(dims) + 1))
def symmetrised(x): return (x + x.swapaxes(-1, -2).conj()) / 2
def flat(x, count):
    """The last `count` axes as one."""
    return x.reshape(*x.shape[: x.ndim - count], math.prod(x.shape[x.ndim - count :]))
def sigmoid(x):
    e = np.exp(-np.abs(x))
    return np.where(x < 0, e, e.dtype.type(1)) / (e + 1)
def polygamma(x, n):
    """Derivatives of log(gamma): terms of the sum up to x + k = 20, then the asymptotic series."""
    k = np.arange(max(20 - x.min(initial=0), 1)).reshape(-1, *[1] * x.ndim)
    y, whole = x + float(len(k)), math.factorial(n)
    out = (whole / (x + k) ** (n + 1)).sum(0) + whole / (2 * y ** (n + 1)) + (whole / n / y**n if n else -np.log(y))
    out += sum(b * math.factorial(j + n - 1) / math.factorial(j) / y ** (j + n) for j, b in ((2, 1 / 6), (4, -1 / 30)))
    return -out if n % 2 == 0 else out
def cast(x, dtype):
    to = numpy_dtype(dtype)
    if to.kind not in "iu" or x.dtype.kind != "f":
        return (x.real if x.dtype.kind == "c" and to.kind not in "cb" else x).astype(to)
    low, high = np.iinfo(to).min, np.iinfo(to).max  # what is out of range becomes the nearest, NaN 0
    inside = (x > low - 1.0) & (x < high + 1.0)
    values = np.where(inside, x, 0).astype(to), to.type(high), to.type(low)
    return np.select([inside, x > 0, x < 0], values, to.type(0))
def sort_along(x, axis, descending=False, first=None):
    turn = (lambda a: np.flip(a, axis)) if descending else np.asarray
    order = turn(np.argsort(turn(x), axis, kind="stable"))
    order = (x.shape[axis] - 1 - order if descending else order).take(range(x.shape[axis])[:first], axis)
    return np.take_along_axis(x, order, axis), order
def search_sorted(edges, values, side):
    pairs = zip(edges.reshape(-1, edges.shape[-1]), values.reshape(math.prod(edges.shape[:-1]), -1), strict=True)
    return np.array([np.searchsorted(e, v, side) for e, v in pairs], "int64").reshape(values.shape)
def windows(x, sizes, steps, dilations):
    """All patches of the last axes: (..., counts..., sizes...)."""
    spans = [(n - 1) * d + 1 for n, d in zip(sizes, dilations, strict=True)]
    view = np.lib.stride_tricks.sliding_window_view(x, spans, tuple(range(-len(sizes), 0)))
    return view[(..., *(slice(None, None, s) for s in (*steps, *dilations)))]
def fold_windows(x, extent, steps, dilations):
    k = len(extent)
    out, counts = np.zeros((*x.shape[: x.ndim - 2 * k], *extent), x.dtype), x.shape[x.ndim - 2 * k : x.ndim - k]
    for offset in itertools.product(*map(range, x.shape[x.ndim - k :])):
        each = zip(offset, dilations, counts, steps, strict=True)
        out[(..., *(slice(o * d, o * d + (c - 1) * s + 1, s) for o, d, c, s in each))] += x[(..., *offset)]
    return out
def pool_pick(x, at, sizes, **how):
    return np.take_along_axis(flat(windows(x, sizes, **how), len(sizes)), at[..., None], -1)[..., 0]
def pool_put(ct, at, extent, sizes, **how):
    each = np.where(at[..., None] == np.arange(math.prod(sizes)), ct[..., None], ct.dtype.type(0))
    return fold_windows(each.reshape(*at.shape, *sizes), extent, **how)
def max_pool(x, sizes, **how):
    at = flat(windows(x, sizes, **how), len(sizes)).argmax(-1)
    return pool_pick(x, at, sizes, **how), at
def patches(x, kernel, stride, padding, dilation, groups):
    """(n, groups, channels of a group, kernel, places), and how many places along each axis."""
    found, k = windows(np.pad(x, ((0, 0), (0, 0), *padding)), kernel, stride, dilation), len(kernel)
    shape = len(x), groups, x.shape[1] // groups, math.prod(found.shape[2:-k]), math.prod(kernel)
    return found.reshape(shape).swapaxes(3, 4), found.shape[2:-k]
def by_group(x, groups, axis):
    """Axis `axis` as (groups, channels of a group), those after channels of a weight or places as one."""
    return x.reshape(*x.shape[:axis], groups, x.shape[axis] // groups, *x.shape[axis + 1 : 2], -1)
def conv(x, w, groups, **how):
    found, counts = patches(x, w.shape[2:], groups=groups, **how)
    out = np.einsum("ngckp,gock->ngop", found, by_group(w, groups, 0), optimize=True)
    return out.reshape(len(x), len(w), *counts)
def conv_weight(x, ct, kernel, groups, **how):
    found, _ = patches(x, kernel, groups=groups, **how)
    out = np.einsum("ngckp,ngop->gock", found, by_group(ct, groups, 1), optimize=True)
    return out.reshape(ct.shape[1], x.shape[1] // groups, *kernel)
def conv_input(ct, w, extent, stride, padding, dilation, groups):
    back = np.einsum("ngop,gock->ngcpk", by_group(ct, groups, 1), by_group(w, groups, 0), optimize=True)
    back = back.reshape(len(ct), groups * w.shape[1], *ct.shape[2:], *w.shape[2:])
    full = fold_windows(back, [d + a + b for d, (a, b) in zip(extent, padding, strict=True)], stride, dilation)
    return full[(..., *(slice(a, a + d) for d, (a, _) in zip(extent, padding, strict=True)))]
def attention_scores(query, key, value, *mask, causal, scale):
    """The operands in single precision at least, and the scores."""
    query, key, value, *mask = (a.astype("float32") if a.dtype == "float16" else a for a in (query, key, value, *mask))
    scores = query @ key.swapaxes(-1, -2) * query.dtype.type(scale)
    for m in (*([np.tri(*scores.shape[-2:], dtype=bool)] if causal else []), *mask):
        scores = np.where(m, scores, scores.dtype.type(-np.inf)) if m.dtype == bool else scores + m
    return query, key, value, scores
def attention(*operands, **how):
    _, _, value, scores = attention_scores(*operands, **how)
    top = scores.max(-1, keepdims=True, initial=-np.inf)
    top = np.where(np.isfinite(top), top, top.dtype.type(0))
    grown = np.exp(scores - top)
    total = grown.sum(-1, keepdims=True)
    out = grown @ value / np.where(total == 0, total.dtype.type(1), total)
    return out, np.broadcast_to(np.where(total == 0, np.inf, top + np.log(total))[..., 0], out.shape[:-1])
def attention_grad(ct, query, key, value, lse, delta, *mask, causal, scale):
    query, key, value, scores = attention_scores(query, key, value, *mask, causal=causal, scale=scale)
    p, ct = np.exp(scores - lse[..., None]), ct.astype(query.dtype)
    ds = p * (ct @ value.swapaxes(-1, -2) - delta[..., None])
    found = ds @ key * scale, ds.swapaxes(-1, -2) @ query * scale, p.swapaxes(-1, -2) @ ct
    return [np.broadcast_to(g, (*ds.shape[:-2], *g.shape[-2:])) for g in found]
def random_bits(state, size):
    """Philox4x32-10 of (seed, counter)."""
    low, half = np.uint64(0xFFFFFFFF), np.uint64(32)
    seed, counter = state[..., :1], state[..., 1:] + np.arange(-(-size // 4), dtype="uint64")
    j, k, a, b, c, d = seed & low, seed >> half, counter & low, counter >> half, counter * 0, counter * 0
    for _ in range(10):
        p, q = a * np.uint64(0xD2511F53), c * np.uint64(0xCD9E8D57)
        a, b, c, d = q >> half ^ b ^ j, q & low, p >> half ^ d ^ k, p & low
        j, k = j + np.uint64(0x9E3779B9) & low, k + np.uint64(0xBB67AE85) & low
    return np.stack((a, b, c, d), -1).reshape(*state.shape[:-1], -1)[..., :size]
def scan(*xs, body, carries, slices, length, reverse, saves):
    carry, sliced, fixed = xs[:carries], xs[carries : carries + slices], xs[carries + slices :]
    ys = [np.zeros((length, *t.shape), numpy_dtype(t.dtype)) for t in body.types[carries:]]
    for i in range(length)[:: -1 if reverse else 1]:
        outs = body.run([*carry, *(x[i] for x in sliced), *fixed])
        carry = outs[:carries]
        for y, out in zip(ys, outs[carries:], strict=True):
            y[i] = out
    return [*carry, *ys]
def while_loop(*xs, test, body, carries, max_steps, saves):
    steps = [list(xs[:carries])]  # the carries before each step
    while len(steps) - 1 != max_steps and test.run([*steps[-1], *xs[carries:]])[0]:
        steps.append(body.run([*steps[-1], *xs[carries:]]))
    rows = [np.zeros((max_steps, *x.shape), x.dtype) for x in xs[:carries]] if saves else []
    for i, row in itertools.product(range(len(steps) - 1), range(len(rows))):
        rows[row][i] = steps[i][row]
    return [*steps[-1], np.array(len(steps) - 1), *rows] if saves else steps[-1]
OPS |= {f.__name__: f for f in (
    sigmoid, polygamma, cast, sort_along, search_sorted, windows, fold_windows, pool_pick, pool_put, max_pool, conv,
    conv_weight, conv_input, attention, attention_grad, random_bits, scan, while_loop)}
OPS |= {
    "floor": whole(np.floor), "ceil": whole(np.ceil), "trunc": whole(np.trunc), "round": whole(np.rint),
    "bitwise_invert": np.invert, "pow_float": np.power, "rsqrt": lambda x: 1 / np.sqrt(x),
    "erf": by_element(math.erf), "erfc": by_element(math.erfc), "sign": lambda x: x if x.dtype == bool else np.sign(x),
    "real_part": np.real, "imag_part": np.imag, "conj_parts": np.conj, "reciprocal": lambda x: 1 / x,
    "reinterpret": lambda x, dtype: widened(np.ascontiguousarray(x).view(numpy_dtype(dtype, stored=True)), dtype),
    "copy": np.copy, "alias": np.asarray, "stop_gradient": np.asarray, "transfer": lambda x, source, device: x,
    "reshape": np.reshape, "permute": np.transpose, "flip": lambda x, axes: np.flip(x, axes),
    "broadcast_to": np.broadcast_to, "concat_along": lambda *xs, axis: np.concatenate(xs, axis),
    "pad": lambda x, widths, value: np.pad(x, widths, constant_values=value), "slice": lambda x, **at: x[slices(**at)],
    "slice_update": lambda x, new, **at: put(x, slices(**at), new),
    "unslice": lambda x, shape, **at: put(np.zeros(shape, x.dtype), slices(**at), x),
    "constant": lambda data, device: data, "full": lambda shape, value, dtype, device: np.full(shape, value),
    "arange": lambda start, step, size, dtype, device: (start + np.arange(size) * step).astype(numpy_dtype(dtype)),
    "nonzero_places": lambda x, count: np.stack(np.nonzero(x)) if x.ndim else np.zeros((0, count)),
    "pow_int": lambda x, y: np.where((y < 0) & (np.abs(x) != 1), 0, np.power(x, np.abs(y))),
    "lgamma": by_element(math.lgamma), "digamma": lambda x: polygamma(x, 0),
    "erfinv": by_element(lambda x: statistics.NormalDist().inv_cdf((x + 1) / 2) / math.sqrt(2)),
    "cumsum_along": lambda x, axis: wide(x).cumsum(axis), "cumprod_along": lambda x, axis: wide(x).cumprod(axis),
    "take_along": lambda x, at, axis: x[along(at, axis)], "index": lambda x, *at, dims: x[places(at, dims)],
    "scatter_along": lambda x, at, values, axis, mode: put(x, along(at, axis), values, mode),
    "index_put": lambda x, values, *at, dims, mode: put(x, places(at, dims), values, mode), "matmul": np.matmul,
    "reduce_sum": reduction(lambda x, a: wide(x).sum(a)), "reduce_prod": reduction(lambda x, a: wide(x).prod(a)),
    **{f"reduce_{name}": reduction(getattr(np, name)) for name in "max min any all argmax argmin".split()},
    "window_sum": lambda x, sizes, **how: np.add.reduce(flat(windows(x, sizes, **how), len(sizes)), -1),
    "window_spread": lambda x, extent, sizes, **how:
        fold_windows(np.broadcast_to(x[(..., *(None,) * len(sizes))], (*x.shape, *sizes)), extent, **how),
    "composite": lambda *xs, name, body: body.run(xs), "fused": lambda *xs, body: body.run(xs),
    "cond": lambda where, *xs, true, false: (true if where else false).run(xs),
    "advance": lambda state, blocks: state + np.array([0, blocks], "uint64"),
    "inv": np.linalg.inv, "solve": np.linalg.solve, "det": np.linalg.det, "slogdet": np.linalg.slogdet,
    "cholesky": lambda x: np.linalg.cholesky(symmetrised(x)), "eigh": lambda x: np.linalg.eigh(symmetrised(x)),
    "eig": lambda x: tuple(v.astype(np.result_type(x, np.complex64)) for v in np.linalg.eig(x)),
    "svd": lambda x, full: np.linalg.svd(x, full), "qr": lambda x, full: np.linalg.qr(x, ("reduced", "complete")[full]),
    "fft_along": lambda x, axis, inverse:
        np.fft.ifft(x, axis=axis, norm="forward") if inverse else np.fft.fft(x, axis=axis),
    "rfft_along": lambda x, axis: np.fft.rfft(x, axis=axis),
    "irfft_along": lambda x, axis, n: np.fft.irfft(x, n, axis=axis, norm="forward"),
    "binary_cross_entropy_terms": lambda x, y:
        (y - 1) * np.maximum(np.log1p(-x), -100) - y * np.maximum(np.log(x), -100),
}

# --- the programs -----------------------------------------------------------------------------------

def flatten(tree):
    """Leaves, and the structure as it stands in the file."""
    fields = getattr(tree, "_fields", None) or list(getattr(tree, "__dataclass_fields__", ()))
    if not isinstance(tree, (dict, list, tuple)) and not hasattr(tree, "__dataclass_fields__"):
        return [tree], "*"
    parts = [flatten(getattr(tree, f)) for f in fields] or list(map(flatten, getattr(tree, "values", tree.__iter__)()))
    head = ["record", type(tree).__name__, list(fields)] if fields else [type(tree).__name__]
    head += [[json.dumps(k) if isinstance(k, str) else repr(k) for k in tree]] if isinstance(tree, dict) else []
    return [leaf for leaves, _ in parts for leaf in leaves], [*head, [form for _, form in parts]]

def unflatten(form, leaves):
    """The inverse; a record comes as a namespace."""
    if form == "*":
        return next(leaves)
    children = [unflatten(c, leaves) for c in form[-1]]
    if form[0] in ("tuple", "list"):
        return tuple(children) if form[0] == "tuple" else children
    pairs = dict(zip(form[2] if form[0] == "record" else map(value_of, form[1]), children, strict=True))
    return types.SimpleNamespace(**pairs) if form[0] == "record" else pairs

class Program:
    """A saved function: `state` (arrays), `numbers` and `gradients` by name; calls update them."""
    def __init__(self, path):
        self.arrays, metadata = read(path)
        record = json.loads(metadata["dualgraph.program"])
        if record["version"] != 1:
            raise ValueError(f"version {record['version']} is not known")
        self.programs = record["programs"]
        self.graphs = [value_of(metadata[f"dualgraph.graph.{i}"]) for i in range(len(self.programs))]
        self.state = {k: self.arrays[f"state.{k}"].copy() for k, v in record["state"].items() if "value" not in v}
        self.numbers = {k: float(v["value"]) for k, v in record["state"].items() if "value" in v}
        self.gradients = {k[9:]: v for k, v in self.arrays.items() if k.startswith("gradient.")}
    def __call__(self, *args, **kwargs):
        leaves, form = flatten((args, kwargs))
        problems = [self.misfit(p, leaves, form) for p in self.programs]
        for p, graph, problem in zip(self.programs, self.graphs, problems, strict=True):
            if problem is None:
                arrays = [self.source(s, leaves) for s in p["inputs"]]
                outs = graph.run(arrays)
                taken = outs[len(outs) - len(p["values"]) :]
                if all(out.item() == value_of(text) for out, (text, _) in zip(taken, p["values"], strict=True)):
                    return self.finish(p, arrays, outs, leaves)
        raise ValueError(f"no program fits: {'; '.join(p or 'another path is taken' for p in problems)}")
    @staticmethod
    def misfit(p, leaves, form):
        """Why arguments are not what a program takes."""
        if form != p["arguments"]:
            return f"arguments of structure {form}, not {p['arguments']}"
        for i, ((kind, what, *_), leaf) in enumerate(zip(p["leaves"], leaves, strict=True)):
            wanted = value_of(what)
            found = (wanted.shape, numpy_dtype(wanted.dtype)) if isinstance(wanted, Type) else (wanted, type(wanted))
            if found != ((leaf, type(leaf)) if kind == "value" else (leaf.shape, leaf.dtype)):
                return f"argument leaf {i} is not {what}"
        return None
    def source(self, source, leaves):
        """The array of an input now."""
        kind, key = source
        if kind == "number":
            return np.asarray(self.numbers[key], "float32")
        held = {"leaf": leaves, "gradient": self.gradients, "state": self.state, "constant": self.arrays}[kind]
        return held[key[1] if kind == "gradient" else key]
    def finish(self, p, arrays, outs, leaves):
        """Stores what the call writes, and puts its result together."""
        made = []
        for r in p["results"]:
            given = {"input": arrays, "view": arrays, "leaf": leaves, "same": made}.get(r["kind"], outs)
            value = value_of(r["key"]) if r["kind"] == "value" else given[r["key"]]
            take = {"item": np.ndarray.item, "float": float, "int": int, "bool": bool}.get(r["kind"])
            value = take(value) if take else value
            for name, params in r["chain"] if r["kind"] == "view" else ():
                value = OPS[name](value, **{k: value_of(v) for k, v in params.items()})
            made.append(value)
        for i, o in p["stores"]:
            np.copyto(arrays[i], outs[o])
        self.gradients |= {name: None if o is None else outs[o] for (_, name), o in p["gradients"]}
        return unflatten(p["form"], iter(made))
    def verify(self):
        """Runs the test vectors; gives [(program, vector, output, largest difference, of values up to)]."""
        found, now = [], self.state
        self.state = {k: self.arrays[f"state.{k}"] for k in now}
        for number, (p, graph) in enumerate(zip(self.programs, self.graphs, strict=True)):
            for n, vector in enumerate(p["vectors"]):
                given = {int(i): self.arrays[name] for i, name in vector["inputs"].items()}
                outs = graph.run([given[i] if i in given else self.source(s, ()) for i, s in enumerate(p["inputs"])])
                for o, pair in enumerate(zip(outs, map(self.arrays.get, vector["outputs"]), strict=True)):
                    a, b = (np.nan_to_num(x.astype(complex), posinf=1e300, neginf=-1e300) for x in pair)
                    found.append((number, n, o, float(np.abs(a - b).max(initial=0)), float(np.abs(b).max(initial=0))))
        self.state = now
        return found

def load(path):
    """The saved function; ValueError where the file is damaged."""
    try:
        return Program(path)
    except (ArithmeticError, AttributeError, LookupError, RecursionError, StopIteration, TypeError) as problem:
        raise ValueError(f"the file is damaged: {problem!r}") from problem

if __name__ == "__main__":
    for number, vector, output, off, size in load(sys.argv[1]).verify():
        print(f"program {number}, vector {vector}, output {output}: off by {off:.3g} of values up to {size:.3g}")
