"""Reader: runs a saved program with NumPy (2 or later) alone. One file to be copied; the format is what it reads.

    python reader.py net.dg                     # runs the test vectors and says how far off they are
    f = reader.load("net.dg"); f(x); f.state    # called as the original, with arrays for tensors

What is computed exactly (sums of integers, indexing, random numbers) has the bits of dualgraph; the
rest is as close as NumPy is, a few units in the last place an op. bfloat16 is given as float32.
"""

import ast
import json
import math
import operator
import statistics
import sys
import types
import zlib

import numpy as np

LIMIT = 1 << 34  # bytes that one value may take
LETTERS = {"b": "bool", "u": "uint", "i": "int", "f": "float", "c": "complex"}


def named(function):
    """Decorator: what goes wrong in a file that is not as it should be, or for such values, is a ValueError."""

    def call(*args, **kwargs):
        try:
            return function(*args, **kwargs)
        except ValueError:
            raise
        except Exception as problem:
            raise ValueError(f"the file is damaged, or a value wrong: {problem!r}") from problem

    return call


def dtype_of(name, bfloat16="float32"):
    """The dtype in which values are computed ("F32", "float32"); files hold bfloat16 as uint16."""
    if name.lower() in ("bf16", "bfloat16"):
        return np.dtype(bfloat16)
    letter, bits = name[0].lower(), "".join(c for c in name if c.isdigit())
    return np.dtype(LETTERS[letter] + bits)


def rounded(value, dtype):
    """A result in its dtype; for bfloat16 the nearest one, ties to even."""
    value = np.asarray(value).astype(dtype_of(dtype), copy=False)
    if dtype != "bfloat16":
        return value
    bits = value.copy().view("uint32")
    near = ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16 << 16).view("float32")
    return np.where(np.isnan(value), value, near)


def widened(array, dtype):
    """bfloat16, the upper half of float32, as that; other arrays as they are."""
    narrow = dtype.lower() in ("bf16", "bfloat16")
    return (array.astype("uint32") << 16).view("float32") if narrow else array


def read(path):
    """Arrays by name and the metadata of a safetensors file; lengths are checked first."""
    with open(path, "rb") as file:
        content = file.read()
    length = int.from_bytes(content[:8], "little")
    if not 0 < length <= len(content) - 8:
        raise ValueError(f"a header of {length} bytes in a file of {len(content)}")
    header, data, arrays = json.loads(content[8 : 8 + length]), content[8 + length :], {}
    seal = header["__metadata__"].pop("dualgraph.crc32")
    if f"{zlib.crc32(data, zlib.crc32(json.dumps(header, sort_keys=True).encode())):08x}" != seal:
        raise ValueError("the file is damaged: its checksum does not fit")
    metadata = header.pop("__metadata__")
    for name, entry in header.items():
        (start, stop), dtype = entry["data_offsets"], entry["dtype"]
        if not 0 <= start <= stop <= len(data):
            raise ValueError(f"{name} does not lie in the file")
        flat = np.frombuffer(data[start:stop], dtype_of(dtype, "uint16").newbyteorder("<"))
        arrays[name] = widened(flat.reshape(tuple(entry["shape"])), dtype)
    return arrays, metadata


# --- graphs: calls of NumPy and of a few other functions ---------------------------------------

NAMES = """abs acos acosh add all any arange argmax argmin argsort asarray asin asinh atan atan2 atanh
    bitwise_and bitwise_invert bitwise_left_shift bitwise_or bitwise_right_shift bitwise_xor
    broadcast_to cbrt ceil concatenate conj copysign cos cosh cumprod cumsum divide equal exp exp2
    expand_dims expm1 flip floor floor_divide fmod full gcd greater greater_equal hypot imag isfinite
    isinf isnan less less_equal log log10 log1p log2 logaddexp logical_and logical_not logical_or
    logical_xor matmul max maximum min minimum multiply negative nextafter nonzero not_equal pad power
    prod real reciprocal remainder reshape round searchsorted sign signbit sin sinh sqrt square squeeze
    stack subtract sum swapaxes take_along_axis tan tanh transpose tri trunc where zeros"""
FUNCTIONS = {name: getattr(np, name) for name in NAMES.split()}
FUNCTIONS |= {name: getattr(np.fft, name) for name in "fft ifft rfft irfft".split()}
LINALG = "cholesky det eig eigh inv pinv qr slogdet solve svd"
FUNCTIONS |= {name: getattr(np.linalg, name) for name in LINALG.split()}
FUNCTIONS["sliding_window_view"] = np.lib.stride_tricks.sliding_window_view
FUNCTIONS["astype"] = lambda x, dtype: np.asarray(x).astype(dtype)
FUNCTIONS["getitem"] = operator.getitem
FUNCTIONS["view"] = lambda x, dtype: np.copy(x).view(dtype)


def function(made):
    """Decorator: a function that calls may name."""
    FUNCTIONS[made.__name__] = made
    return made


@function
def put(x, places, values, mode):
    out = x.copy()
    folds = {"add": np.add, "maximum": np.maximum, "minimum": np.minimum}
    folds[mode].at(out, places, values) if mode in folds else out.__setitem__(places, values)
    return out


def by_element(function):
    return lambda x: np.vectorize(function, otypes=[float])(np.asarray(x, float))


FUNCTIONS |= {name: by_element(getattr(math, name)) for name in ("erf", "erfc", "lgamma")}
normal = statistics.NormalDist()
FUNCTIONS["erfinv"] = by_element(lambda x: normal.inv_cdf((x + 1) / 2) / math.sqrt(2))


@function
def polygamma(x, n):
    """Derivatives of log(gamma): terms of the sum up to x + k = 20, then the asymptotic series."""
    k, f = np.arange(max(20 - x.min(initial=0), 1)), math.factorial
    y = x + float(len(k))
    out = (f(n) / np.add.outer(k, x) ** (n + 1)).sum(0) + f(n) / (2 * y ** (n + 1))
    out += (f(n) / n / y**n if n else -np.log(y)) + f(n + 1) / 12 / y ** (n + 2)
    return (-1) ** (n + 1) * (out - f(n + 3) / 720 / y ** (n + 4))


@function
def recurrence_along(a, b, axis):
    """``y[i] = a[i] y[i - 1] + b[i]`` along an axis."""
    out = b.copy()
    factors, lines = np.moveaxis(a, axis, 0), np.moveaxis(out, axis, 0)
    for i in range(1, len(lines)):
        lines[i] += factors[i] * lines[i - 1]
    return out


@function
def cofactors(x):
    """The conjugate of ``det(x) inv(x)^T``: by products of all singular values but one."""
    u, s, vh = np.linalg.svd(x)
    turn = np.conj(np.linalg.det(u) * np.linalg.det(vh))[..., None]
    others = np.stack([np.delete(s, i, -1).prod(-1) for i in range(s.shape[-1])], -1)
    return u * (turn * others)[..., None, :] @ vh


@function
def lu_factor(x, pivot):
    """Triangular factors, the row that each step exchanged with its own (from 1), and the rows in their order."""
    x, (m, n) = x.copy(), x.shape[-2:]
    pivots = np.zeros((*x.shape[:-2], min(m, n)), int)
    rows = np.zeros(x.shape[:-1], int) + np.arange(m)
    for at in np.ndindex(x.shape[:-2]):
        a, order = x[at], rows[at]
        for j in range(min(m, n)):
            p = j + (np.abs(a[j:, j].real) + np.abs(a[j:, j].imag)).argmax() * pivot
            pivots[at][j], a[[j, p]], order[[j, p]] = p + 1, a[[p, j]], order[[p, j]]
            a[j + 1 :, j] /= a[j, j] or 1
            a[j + 1 :, j + 1 :] -= np.outer(a[j + 1 :, j], a[j, j + 1 :])
    return x, pivots, rows


@function
def random_bits(state, size):
    """Philox4x32-10 of (seed, counter)."""
    low, half = np.uint64(0xFFFFFFFF), np.uint64(32)
    seed, a = state[..., :1], state[..., 1:] + np.arange(-(-size // 4), dtype="uint64")
    j, k, a, b, c, d = seed & low, seed >> half, a & low, a >> half, a * 0, a * 0
    for _ in range(10):
        p, q = a * np.uint64(0xD2511F53), c * np.uint64(0xCD9E8D57)
        a, b, c, d = q >> half ^ b ^ j, q & low, p >> half ^ d ^ k, p & low
        j, k = j + np.uint64(0x9E3779B9) & low, k + np.uint64(0xBB67AE85) & low
    return np.stack((a, b, c, d), -1).reshape(*state.shape[:-1], -1)[..., :size]


@function
def cond(where, *xs, true, false):
    return (true if where else false).run(*xs)


@function
def scan(*xs, body, carries, slices, rows, length, reverse):
    carry, sliced, fixed = xs[:carries], xs[carries : carries + slices], xs[carries + slices :]
    rows = [np.zeros(shape, dtype_of(dtype)) for dtype, shape in rows]
    for i in range(length)[:: -1 if reverse else 1]:
        outs = body.run(*carry, *(x[i] for x in sliced), *fixed)
        carry = outs[:carries]
        for row, out in zip(rows, outs[carries:], strict=True):
            row[i] = out
    return [*carry, *rows]


@function
def while_loop(*xs, test, body, carries, max_steps, saves):
    carry, fixed, steps = xs[:carries], xs[carries:], 0
    rows = [np.zeros((max_steps, *x.shape), x.dtype) for x in carry] if saves else []
    while steps != max_steps and test.run(*carry, *fixed)[0]:
        for row, x in zip(rows, carry, strict=False):
            row[steps] = x  # the carries before each step
        carry, steps = body.run(*carry, *fixed), steps + 1
    return [*carry, np.array(steps), *rows] if saves else carry


class Graph:
    """`calls`: [function, arguments, options, results], where "%3" is the value of that name.

    Inputs and the results of ops are [name, dtype, shape]; others are names alone.
    """

    def __init__(self, inputs, calls, outputs):
        self.inputs, self.calls, self.outputs = inputs, calls, outputs
        made = [out for *_, outs in calls for out in outs if isinstance(out, list)]
        for _, dtype, shape in (*inputs, *made):
            if math.prod(shape) * dtype_of(dtype).itemsize > LIMIT:
                raise ValueError(f"a value of shape {shape} takes more than {LIMIT} bytes")

    def run(self, *arrays):
        """The outputs for these inputs, call by call."""
        env = {name: array for (name, *_), array in zip(self.inputs, arrays, strict=True)}
        for function, given, options, outs in self.calls:
            options = {key: value_in(env, v) for key, v in options.items()}
            with np.errstate(all="ignore"):
                found = FUNCTIONS[function](*value_in(env, given), **options)
            if isinstance(outs[0], str):
                env[outs[0]] = found
                continue
            found = found if isinstance(found, (tuple, list)) else [found]
            for (name, dtype, shape), array in zip(outs, found, strict=True):
                env[name] = rounded(array, dtype)
                if list(env[name].shape) != shape:
                    raise ValueError(f"{function} gave {env[name].shape}, not {shape}")
        return list(map(np.asarray, value_in(env, self.outputs)))


def value_in(env, v):
    if isinstance(v, list):
        return tuple(value_in(env, each) for each in v)
    return env[v] if isinstance(v, str) and v.startswith("%") else v


# --- numbers: what is made of Python numbers that may change ------------------------------------

OPERATORS = """Add add Sub sub Mult mul Div truediv FloorDiv floordiv Mod mod Pow pow BitAnd and_ BitOr or_
    BitXor xor LShift lshift RShift rshift USub neg Invert invert Eq eq NotEq ne Lt lt LtE le Gt gt GtE ge""".split()
SIGNS = dict(zip(OPERATORS[::2], OPERATORS[1::2], strict=True))
LONG = "comb dist factorial fsum perm prod sumprod".split()  # what may take long, or takes lists
MATH = {k: v for k, v in vars(math).items() if callable(v) and k not in LONG and k.isalnum()}
PLAIN = {"abs": abs, "bool": bool, "float": float, "int": int, "kind": lambda x: type(x).__name__}
BITS = 4096  # of an int at most


def expression(text, known):
    """A function of what names stand for; ValueError unless the text is arithmetic with names that are known."""
    if len(text) > 200:
        raise ValueError("an expression that is too long")

    def made(node):
        sign = getattr(node, "op", None) or getattr(node, "ops", [None])[0]
        function = getattr(operator, SIGNS.get(type(sign).__name__, ""), None)
        parts = [
            getattr(node, name) for name in ("operand", "left", "right") if hasattr(node, name)
        ]
        parts += getattr(node, "comparators", [])
        if isinstance(node, ast.Constant) and type(node.value) in (int, float, bool):
            return lambda names: node.value
        if isinstance(node, ast.Name) and node.id in known:
            return lambda names: names[node.id]
        if isinstance(node, ast.Call) and not node.keywords:
            place, _, name = ast.unparse(node.func).rpartition(".")
            function, parts = {"": PLAIN, "math": MATH}.get(place, {}).get(name), node.args
        if function is None or len(parts) > 2:
            raise ValueError(f"{ast.dump(node)[:80]} is no part of a number")
        parts = list(map(made, parts))

        def work(names):
            x, *rest = (part(names) for part in parts)
            if function in (operator.pow, operator.lshift) and type(x) is type(rest[0]) is int:
                if rest[0] > BITS or abs(x).bit_length() * abs(rest[0]) > 4 * BITS:
                    raise ValueError("a power that is too large")
            out = function(x, *rest)
            if type(out) is not int or out.bit_length() <= BITS:
                return out
            raise ValueError(f"an int of more than {BITS} bits")

        return work

    return made(ast.parse(text, mode="eval").body)


class Numbers:
    """`steps` from a0, a1 ...: [name, expression], or [None, expression, what its repr is, what users call it]."""

    def __init__(self, count, steps, gives):
        known = {f"a{i}" for i in range(count)}
        self.steps, self.gives = [], list(gives)
        for name, text, *wanted in steps:
            self.steps.append((name, expression(text, known), wanted))
            known.add(name)
        if not (known - {None}).issuperset(gives):
            raise ValueError("numbers that no step gives")

    def at(self, values):
        """The results for these numbers, as a tuple; a text that says why where there are none."""
        names = {f"a{i}": v for i, v in enumerate(values)}
        try:
            for name, work, wanted in self.steps:
                names[name] = work(names)
                if wanted and repr(names[name]) != wanted[0]:
                    return f"{wanted[-1]} is not {wanted[0]} any more"
        except (ArithmeticError, TypeError, ValueError) as problem:
            return f"{type(problem).__name__}: {problem}"
        return tuple(names[name] for name in self.gives)


# --- the programs -------------------------------------------------------------------------------


def text_of(leaf):
    """An argument as the file describes it."""
    if hasattr(leaf, "dtype"):
        dtype = "bool" if leaf.dtype == bool else f"{leaf.dtype.kind}{8 * leaf.dtype.itemsize}"
        return f"{dtype}[{','.join(map(str, leaf.shape))}]"
    if isinstance(leaf, complex):
        return f"complex({leaf.real!r}, {leaf.imag!r})"
    return json.dumps(leaf) if isinstance(leaf, str) else repr(leaf)


def value_of(text):
    """The Python value of a text."""
    kind, _, parts = text.partition("(")
    if kind in ("complex", "slice"):
        made = complex if kind == "complex" else slice
        return made(*map(value_of, parts[:-1].split(", ")))
    if text.lstrip("-") in ("inf", "nan"):
        return float(text)
    return json.loads(text) if text.startswith('"') else ast.literal_eval(text)


def leaves_of(form, tree):
    """The leaves of a tree of this structure; ValueError for another."""
    if form == "*":
        return [tree]
    kind, *names, children = form
    parts = []
    if kind == "record":
        parts = [getattr(tree, name, None) for name in names[1]]
    elif type(tree).__name__ == kind and len(tree) == len(children):
        keys = map(value_of, names[0]) if names else range(len(tree))
        parts = [tree[key] for key in keys if not names or key in tree]
    if len(parts) != len(children):
        raise ValueError(f"no arguments of structure {form}")
    return [leaf for pair in zip(children, parts, strict=True) for leaf in leaves_of(*pair)]


def tree_of(form, leaves):
    """A tree of this structure; a record comes as a namespace."""
    if form == "*":
        return next(leaves)
    kind, *names, children = form
    parts = [tree_of(child, leaves) for child in children]
    if kind == "record":
        return types.SimpleNamespace(**dict(zip(names[1], parts, strict=True)))
    if names:
        return dict(zip(map(value_of, names[0]), parts, strict=True))
    return tuple(parts) if kind == "tuple" else parts


class Program:
    """A saved function: `state` (arrays), `numbers` and `gradients` by name; calls update them."""

    def __init__(self, path):
        self.arrays, metadata = read(path)
        record = json.loads(metadata["dualgraph.program"])
        if record["version"] not in (1, 2):
            raise ValueError(f"version {record['version']} is not known")
        graphs = (metadata[f"dualgraph.calls.{i}"] for i in range(len(record["programs"])))
        graphs = (json.loads(text, object_hook=self.made) for text in graphs)
        self.programs = list(zip(record["programs"], graphs, strict=True))
        state = record["state"].items()
        self.state = {k: self.arrays[f"state.{k}"].copy() for k, v in state if "value" not in v}
        self.numbers = {k: value_of(v["value"]) for k, v in state if "value" in v}
        taken = (p.get("numbers") for p, _ in self.programs)
        self.formulas = [t and Numbers(len(t["kinds"]), t["steps"], t["gives"]) for t in taken]
        self.gradients = {k[9:]: v for k, v in self.arrays.items() if k.startswith("gradient.")}

    def made(self, record):
        """What a JSON object in a graph stands for."""
        if "calls" in record:
            return Graph(**record)
        if "slice" in record:
            return slice(*record["slice"])
        if "complex" in record:
            return complex(*record["complex"])
        return self.arrays[record["array"]] if "array" in record else record

    @named
    def __call__(self, *args, **kwargs):
        problems = []
        for (p, graph), formulas in zip(self.programs, self.formulas, strict=True):
            try:
                leaves = leaves_of(p["arguments"], (args, kwargs))
                for i, (leaf, (kind, text, *_)) in enumerate(zip(leaves, p["leaves"], strict=True)):
                    given = type(leaf).__name__ if kind == "number" else text_of(leaf)
                    if given != text.replace("bf16[", "f32["):
                        raise ValueError(f"argument leaf {i} is not {text}")
                numbers = formulas and self.numbers_of(p["numbers"], formulas, leaves)
            except ValueError as problem:
                problems.append(str(problem))
                continue
            inputs = zip(p["inputs"], graph.inputs, strict=True)
            arrays = [self.source(s, leaves, numbers, dtype) for s, (_, dtype, _) in inputs]
            outs = graph.run(*arrays)
            views = [outs.pop() for r in p["results"] if r["kind"] == "view"]
            taken = outs[len(outs) - len(p["values"]) :]
            if [text_of(a.item()) for a in taken] == [text for text, _ in p["values"]]:
                return self.finish(p, arrays, outs, views, leaves, numbers)
            problems.append("another path is taken")
        raise ValueError(f"no program fits: {'; '.join(problems)}")

    def numbers_of(self, record, formulas, leaves):
        """The numbers that the program takes in a call."""
        values = [(leaves if k == "leaf" else self.numbers)[i] for k, i in record["sources"]]
        told = zip(values, record["kinds"], record["values"], strict=True)
        for i, (value, kind, was) in enumerate(told):
            if type(value).__name__ != kind or (i not in record["free"] and repr(value) != was):
                raise ValueError(f"a number is {value!r}, not {was}")
        if isinstance(found := formulas.at(values), str):
            raise ValueError(found)
        return found

    def source(self, source, leaves, numbers=None, dtype=None):
        """The array of an input now."""
        kind, key = source
        if kind == "computed":
            return rounded(numbers[key], dtype)
        if kind == "number":
            return np.asarray(self.numbers[key], "float32")
        if kind == "gradient":
            return self.gradients[key[1]]
        return {"leaf": leaves, "state": self.state, "constant": self.arrays}[kind][key]

    def finish(self, p, arrays, outs, views, leaves, taken):
        """Stores what the call writes, and puts its result together."""
        numbers = {"item": np.ndarray.item, "float": float, "int": int, "bool": bool}
        made = []
        for r in p["results"]:
            kind, key = r["kind"], r["key"]
            if kind == "value":
                made.append(value_of(key))
            elif kind == "view":
                made.append(views.pop())
            else:
                where = {"input": arrays, "leaf": leaves, "same": made, "computed": taken}
                held = where.get(kind, outs)[key]
                made.append(numbers[kind](held) if kind in numbers else held)
        for i, o in p["stores"]:
            np.copyto(arrays[i], outs[o])
        for r, name in p.get("moves", ()):
            (self.numbers if name in self.numbers else self.state)[name] = made[r]
        self.gradients |= {name: None if o is None else outs[o] for (_, name), o in p["gradients"]}
        return tree_of(p["form"], iter(made))

    @named
    def verify(self):
        """Runs the test vectors: [(program, vector, output, largest difference, largest value)]."""
        found, now = [], self.state
        self.state = {k: self.arrays[f"state.{k}"] for k in now}
        for number, (p, graph) in enumerate(self.programs):
            for n, vector in enumerate(p["vectors"]):
                own = {int(i): ["constant", name] for i, name in vector["inputs"].items()}
                sources = (own.get(i, s) for i, s in enumerate(p["inputs"]))
                outs = graph.run(*(self.source(s, ()) for s in sources))
                for o, name in enumerate(vector["outputs"]):
                    pair = (x.astype(complex) for x in (outs[o], self.arrays[name]))
                    a, b = (np.nan_to_num(x, posinf=1e300, neginf=-1e300) for x in pair)
                    off, size = (float(np.abs(x).max(initial=0)) for x in (a - b, b))
                    found.append((number, n, o, off, size))
        self.state = now
        return found


@named
def load(path):
    """The saved function; ValueError where the file is damaged."""
    return Program(path)


if __name__ == "__main__":
    for number, vector, output, off, size in load(sys.argv[1]).verify():
        where = f"program {number}, vector {vector}, output {output}"
        print(f"{where}: off by {off:.3g} of values up to {size:.3g}")
