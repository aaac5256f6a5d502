"""Reader: runs a saved program with NumPy (2 or later) alone. One file to be copied; the format is what it reads.

    python reader.py net.dg                     # runs the test vectors and says how far off they are
    f = reader.load("net.dg"); f(x); f.state    # called as the original, with arrays for tensors

What is computed exactly (sums of integers, indexing, random numbers) has the bits of dualgraph; the
rest is as close as NumPy is, a few units in the last place an op. bfloat16 is given as float32.
"""

import ast
import contextlib
import json
import math
import operator
import sys
import types
import zlib

import numpy as np

LIMIT = 1 << 34  # bytes that one value may take
LETTERS = {"b": "bool", "u": "uint", "i": "int", "f": "float", "c": "complex"}


@contextlib.contextmanager
def named():
    """What goes wrong in a file that is not as it should be, or for such values, is a ValueError."""
    try:
        with np.errstate(all="ignore"):
            yield
    except ValueError:
        raise
    except Exception as problem:
        raise ValueError(f"the file is damaged, or a value wrong: {problem!r}") from problem


def dtype_of(name, bfloat16="float32"):
    """The dtype in which values are computed ("F32", "float32"); files hold bfloat16 as uint16."""
    if name in ("BF16", "bfloat16"):
        return np.dtype(bfloat16)
    letter, bits = name[0].lower(), "".join(c for c in name if c.isdigit())
    return np.dtype(LETTERS[letter] + bits)


def rounded(value, dtype):
    """A result in its dtype; for bfloat16 the nearest one, ties to even."""
    value = np.asarray(value).astype(dtype_of(dtype), copy=False)
    if dtype != "bfloat16" or not (value.view("uint32") & 0xFFFF).any():
        return value
    bits = value.view("uint32")
    near = ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16 << 16).view("float32")
    return np.where(np.isnan(value), value, near)


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
        if dtype == "BF16":  # the upper half of float32
            flat = (flat.astype("uint32") << 16).view("float32")
        arrays[name] = flat.reshape(tuple(entry["shape"]))
    return arrays, metadata


# --- graphs: calls of NumPy and of a few other functions ---------------------------------------

NAMES = """all any arange argmax argmin argsort asarray broadcast_to concatenate cumprod cumsum expand_dims
    flip full imag max min nonzero pad prod real reshape round searchsorted squeeze stack sum swapaxes
    take_along_axis transpose tri where zeros fft.fft fft.ifft fft.rfft fft.irfft linalg.cholesky
    linalg.det linalg.eig linalg.eigh linalg.inv linalg.pinv linalg.qr linalg.slogdet linalg.solve
    linalg.svd lib.stride_tricks.sliding_window_view"""
FUNCTIONS = {name: f for name, f in vars(np).items() if isinstance(f, np.ufunc)}
FUNCTIONS |= {path.split(".")[-1]: operator.attrgetter(path)(np) for path in NAMES.split()}


def put(x, places, values, mode):
    out = x.copy()
    folds = {"add": np.add, "maximum": np.maximum, "minimum": np.minimum}
    folds[mode].at(out, places, values) if mode in folds else out.__setitem__(places, values)
    return out


def cond(where, *xs, true, false):
    return (true if where else false).run(*xs)


def scan(*xs, body, carries, slices, rows, length, reverse):
    carry, sliced, fixed = xs[:carries], xs[carries : carries + slices], xs[carries + slices :]
    rows = [np.zeros(shape, dtype_of(dtype)) for dtype, shape in rows]
    for i in range(length)[:: -1 if reverse else 1]:
        outs = body.run(*carry, *(x[i] for x in sliced), *fixed)
        carry = outs[:carries]
        for row, out in zip(rows, outs[carries:], strict=True):
            row[i] = out
    return [*carry, *rows]


def while_loop(*xs, test, body, carries, max_steps, saves):
    carry, fixed, steps = xs[:carries], xs[carries:], 0
    rows = [np.zeros((max_steps, *x.shape), x.dtype) for x in carry] if saves else []
    while steps != max_steps and test.run(*carry, *fixed)[0]:
        for row, x in zip(rows, carry, strict=False):
            row[steps] = x  # the carries before each step
        carry, steps = body.run(*carry, *fixed), steps + 1
    return [*carry, np.array(steps), *rows] if saves else carry


FUNCTIONS |= {f.__name__: f for f in (operator.getitem, put, cond, scan, while_loop)}
FUNCTIONS["erf"] = lambda x: np.vectorize(math.erf, otypes=[float])(x)
FUNCTIONS["astype"] = lambda x, dtype: np.asarray(x).astype(dtype)
FUNCTIONS["view"] = lambda x, dtype: np.copy(x).view(dtype)


class Graph:
    """`calls`: [function, arguments, options, results], where "%3" is the value of that name.

    Inputs and results are [name, dtype, shape], or names alone.
    """

    def __init__(self, inputs, calls, outputs, functions=FUNCTIONS):
        self.inputs, self.outputs = inputs, outputs
        self.calls = [(functions[name], *rest) for name, *rest in calls]
        for out in (*inputs, *(out for *_, outs in calls for out in outs)):
            if isinstance(out, list) and math.prod(out[2]) * dtype_of(out[1]).itemsize > LIMIT:
                raise ValueError(f"a value of shape {out[2]} takes more than {LIMIT} bytes")

    def run(self, *given):
        """The outputs for these inputs, call by call."""
        known = {}
        for out, value in zip(self.inputs, given, strict=True):
            note(known, out, value)
        for function, args, options, outs in self.calls:
            options = {key: value_in(known, v) for key, v in options.items()}
            found = function(*value_in(known, args), **options)
            many = isinstance(outs[0], list) and isinstance(found, (tuple, list))
            for out, value in zip(outs, found if many else [found], strict=True):
                note(known, out, value)
        return list(value_in(known, self.outputs))


def note(known, out, value):
    """Keeps a value under its name; in its dtype and of its shape, where these are said."""
    if isinstance(out, str):
        known[out] = value
        return
    name, dtype, shape = out
    known[name] = rounded(value, dtype)
    if list(known[name].shape) != shape:
        raise ValueError(f"{name} is of shape {known[name].shape}, not {shape}")


def value_in(known, v):
    if isinstance(v, list):
        return tuple(value_in(known, each) for each in v)
    return known[v] if isinstance(v, str) and v.startswith("%") else v


# --- Python numbers that may change: calls of Python's functions --------------------------------

OPERATORS = """abs add and_ eq floordiv ge gt invert le lshift lt mod mul ne neg or_ pow rshift sub
    truediv xor"""
LONG = "comb dist factorial fsum perm prod sumprod".split()  # what may take long, or takes lists
BITS = 4096  # of an int at most
PYTHONS = {bool, int, float}


def of_numbers(function):
    """A function of Python's numbers that gives no ints beyond BITS, however often it is called."""

    def work(*xs):
        if not PYTHONS.issuperset(map(type, xs)):
            raise TypeError(f"{xs} are not numbers")
        if function in (operator.pow, operator.lshift) and float not in map(type, xs):
            x, y = xs
            if y > BITS or abs(x).bit_length() * abs(y) > 4 * BITS:
                raise ValueError("a power that is too large")
        out = function(*xs)
        if type(out) is int and out.bit_length() > BITS:
            raise ValueError(f"an int of more than {BITS} bits")
        return out

    return work


def expect(x, wanted, told):
    """A condition of the capture: what the `repr` of a number has to be."""
    if repr(x) != wanted:
        raise ValueError(f"{told} is not {wanted} any more")


MATH = {k: f for k, f in vars(math).items() if callable(f) and k.isalnum() and k not in LONG}
NUMBERS = {f"math.{k}": of_numbers(f) for k, f in MATH.items()}
NUMBERS |= {f"operator.{k}": of_numbers(getattr(operator, k)) for k in OPERATORS.split()}
NUMBERS |= {kind.__name__: of_numbers(kind) for kind in PYTHONS}
NUMBERS |= {"kind": lambda x: type(x).__name__, "expect": expect}


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

    def __init__(self, arrays, metadata):
        self.arrays, self.metadata = arrays, metadata
        record = json.loads(metadata["dualgraph.program"])
        if record["version"] not in (1, 2, 3):
            raise ValueError(f"version {record['version']} is not known")
        state = record["state"].items()
        self.state = {k: arrays[f"state.{k}"].copy() for k, v in state if "value" not in v}
        self.numbers = {k: value_of(v["value"]) for k, v in state if "value" in v}
        self.gradients = {k[9:]: v.copy() for k, v in arrays.items() if k.startswith("gradient.")}
        self.programs = []
        for i, p in enumerate(record["programs"]):
            graph = json.loads(metadata[f"dualgraph.calls.{i}"], object_hook=self.made)
            formulas = p.get("numbers", {"sources": [], "calls": [], "gives": []})
            taken = [f"%a{i}" for i in range(len(formulas["sources"]))]
            formulas = Graph(taken, formulas["calls"], formulas["gives"], NUMBERS)
            self.programs.append((p, graph, formulas))

    def made(self, record):
        """What a JSON object in a graph stands for."""
        if "calls" in record:
            return Graph(**record)
        if "slice" in record:
            return slice(*record["slice"])
        if "complex" in record:
            return complex(*record["complex"])
        return self.arrays[record["array"]] if "array" in record else record

    @named()
    def __call__(self, *args, **kwargs):
        problems = []
        for p, graph, formulas in self.programs:
            try:
                leaves = self.fitting(p, args, kwargs)
                numbers = self.numbers_of(p.get("numbers"), formulas, leaves)
            except (ArithmeticError, TypeError, ValueError) as problem:
                problems.append(f"{type(problem).__name__}: {problem}")
                continue
            inputs = zip(p["inputs"], graph.inputs, strict=True)
            arrays = [rounded(self.held(s, leaves, numbers), dtype) for s, (_, dtype, _) in inputs]
            outs = graph.run(*arrays)
            views = [outs.pop() for r in p["results"] if r["kind"] == "view"]
            taken = outs[len(outs) - len(p["values"]) :]
            if [text_of(a.item()) for a in taken] == [text for text, _ in p["values"]]:
                return self.finish(p, arrays, outs, views, leaves, numbers)
            problems.append("another path is taken")
        raise ValueError(f"no program fits: {'; '.join(problems)}")

    def fitting(self, p, args, kwargs):
        """The leaves of the arguments; ValueError where they are not what the program takes."""
        leaves = leaves_of(p["arguments"], (args, kwargs))
        for i, (leaf, (kind, text, *_)) in enumerate(zip(leaves, p["leaves"], strict=True)):
            given = type(leaf).__name__ if kind == "number" else text_of(leaf)
            if given != text.replace("bf16[", "f32["):
                raise ValueError(f"argument leaf {i} is not {text}")
        return leaves

    def numbers_of(self, record, formulas, leaves):
        """The numbers that the program takes in a call."""
        if record is None:
            return ()
        values = [self.held(source, leaves) for source in record["sources"]]
        told = zip(values, record["kinds"], record["values"], strict=True)
        for i, (value, kind, was) in enumerate(told):
            if type(value).__name__ != kind or (i not in record["free"] and repr(value) != was):
                raise ValueError(f"a number is {value!r}, not {was}")
        return formulas.run(*values)

    def held(self, source, leaves=(), numbers=()):
        """What an input is now."""
        kind, key = source
        if kind == "gradient":
            return self.gradients[key[1]]
        own = {"state": self.state, "number": self.numbers, "constant": self.arrays}
        return {"leaf": leaves, "computed": numbers, **own}[kind][key]

    def finish(self, p, arrays, outs, views, leaves, numbers):
        """Stores what the call writes, and puts its result together."""
        taken_out = {"item": np.ndarray.item, "float": float, "int": int, "bool": bool}
        made = []
        of = {"input": arrays, "leaf": leaves, "same": made, "computed": numbers}
        for r in p["results"]:
            kind, key = r["kind"], r["key"]
            if kind == "value":
                made.append(value_of(key))
            elif kind == "view":
                made.append(views.pop())
            else:
                held = of.get(kind, outs)[key]
                made.append(taken_out[kind](held) if kind in taken_out else held)
        for i, o in p["stores"]:
            np.copyto(arrays[i], outs[o])
        for r, name in p.get("moves", ()):
            (self.numbers if name in self.numbers else self.state)[name] = made[r]
        self.gradients |= {name: None if o is None else outs[o] for (_, name), o in p["gradients"]}
        return tree_of(p["form"], iter(made))

    @named()
    def verify(self):
        """Runs the test vectors: [(program, vector, output, largest difference, largest value)]."""
        found, saved = [], Program(self.arrays, self.metadata)
        for number, (p, graph, _) in enumerate(saved.programs):
            for n, vector in enumerate(p["vectors"]):
                own = {int(i): ["constant", name] for i, name in vector["inputs"].items()}
                outs = graph.run(*(saved.held(own.get(i, s)) for i, s in enumerate(p["inputs"])))
                for o, name in enumerate(vector["outputs"]):
                    pair = (x.astype(complex) for x in (outs[o], self.arrays[name]))
                    a, b = (np.nan_to_num(x, posinf=1e300, neginf=-1e300) for x in pair)
                    off, size = (float(np.abs(x).max(initial=0)) for x in (a - b, b))
                    found.append((number, n, o, off, size))
        return found


@named()
def load(path):
    """The saved function; ValueError where the file is damaged."""
    return Program(*read(path))


if __name__ == "__main__":
    for number, vector, output, off, size in load(sys.argv[1]).verify():
        where = f"program {number}, vector {vector}, output {output}"
        print(f"{where}: off by {off:.3g} of values up to {size:.3g}")
