"""Glue, the language of native functions: its arithmetic is C's, and no reference leaks or is lost."""

import ctypes
import gc
import sys

import numpy as np
import pytest

from dualgraph.backends.native import api

if not api.available():
    pytest.skip("glue needs llvmlite", allow_module_level=True)

from dualgraph.backends.native import generators, waves
from dualgraph.backends.native.aside import aside
from dualgraph.backends.native.glue import (
    FASTCALL,
    KEYWORDS,
    ONE,
    GlueError,
    Library,
    array_offsets,
    possible,
    slot_offset,
)
from dualgraph.backends.native.glue import library as library_module

pytestmark = pytest.mark.skipif(not possible(), reason="glue needs CPython with its lock")

TEXT = '''
def twice(x: i64) -> i64:
    return x * 2

def collatz(x: i64) -> i64:
    """Steps down to 1."""
    steps = 0
    while x != 1:
        x = x // 2 if x % 2 == 0 else 3 * x + 1
        steps += 1
    return steps

def first_square_above(limit: i64) -> i64:
    for i in range(limit + 2):
        if i < 2:
            continue
        if i * i > limit:
            break
    return i * i

def between(x: f64, low: f64, high: f64) -> i32:
    return not (x < low or x > high) and x == x

def sum_of(memory: ptr, count: i64) -> f64:
    total = 0.0
    for i in range(count):
        total = total + load_f32(memory, 4 * i)
    return total

def scaled(memory: ptr, count: i64, factor: f64) -> None:
    for i in range(0, count):
        store_f32(memory, 4 * i, load_f32(memory, 4 * i) * factor)

def through_pointer(x: i64) -> i64:
    room = stack(16)
    store_i64(room, 8, x)
    return call_i64(address_of(twice), load_i64(room + 8, 0)) + swap_i64(room, 1) * 0

def pair(self: ptr, x: ptr) -> ptr:
    made = c.PyTuple_New(2)
    if made is None:
        return None
    c.Py_IncRef(x)
    c.Py_IncRef(o.MARK)
    store_ptr(made, n.ITEMS, x)
    store_ptr(made, n.ITEMS + 8, o.MARK)
    return made

def checked_sum(self: ptr, args: ptr, count: i64, names: ptr) -> ptr:
    total = 0
    for i in range(count):
        x = c.PyLong_AsSsize_t(load_ptr(args, 8 * i))
        if x == -1 and c.PyErr_Occurred():
            return None
        total += x
    if names:
        total += 1000 * (0 - c.PyLong_AsSsize_t(load_ptr(args, 8 * count)))
    return c.PyLong_FromSsize_t(total)
'''
MARK = object()
ENTRIES = (
    "collatz",
    "first_square_above",
    "between",
    "sum_of",
    "scaled",
    "through_pointer",
    "pair",
    "checked_sum",
)


@pytest.fixture(scope="module")
def library():
    numbers = {"ITEMS": tuple.__basicsize__}
    return Library(text=TEXT, entries=ENTRIES, objects={"MARK": MARK}, numbers=numbers)


def call(library, name, result, *types):
    return ctypes.CFUNCTYPE(result, *types)(library.address(name))


I64, F64, PTR = ctypes.c_int64, ctypes.c_double, ctypes.c_void_p


def test_loops_and_arithmetic_mean_what_they_mean_in_c(library):
    collatz = call(library, "collatz", I64, I64)
    assert [collatz(n) for n in (1, 2, 7, 27)] == [0, 1, 16, 111]
    above = call(library, "first_square_above", I64, I64)
    assert [above(n) for n in (3, 10, 100)] == [4, 16, 121]


def test_conditions_stop_early_and_know_nan(library):
    between = call(library, "between", ctypes.c_int32, F64, F64, F64)
    assert [between(x, 1.0, 2.0) for x in (0.5, 1.0, 1.5, 2.5, float("nan"))] == [0, 1, 1, 0, 0]


def test_memory_is_read_and_written(library):
    x = np.arange(10, dtype=np.float32)
    assert call(library, "sum_of", F64, PTR, I64)(x.ctypes.data, 10) == 45.0
    call(library, "scaled", None, PTR, I64, F64)(x.ctypes.data, 9, 0.5)
    assert x.tolist() == [0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5, 4, 9]
    assert call(library, "through_pointer", I64, I64)(21) == 42


def test_a_builtin_and_a_method_give_objects_and_keep_counts(library):
    pair = library.builtin("pair", "pair", ONE, doc="x with a mark")
    x = object()
    assert pair(x) == (x, MARK) and pair.__doc__ == "x with a mark"

    class Owner:
        pass

    Owner.pair = library.method(Owner, "pair", "pair", ONE)
    assert Owner().pair(x) == (x, MARK)
    before = sys.getrefcount(x), sys.getrefcount(MARK)
    for _ in range(1000):
        pair(x)
    gc.collect()
    assert (sys.getrefcount(x), sys.getrefcount(MARK)) == before


def test_errors_of_c_functions_are_raised(library):
    total = library.builtin("total", "checked_sum", FASTCALL | KEYWORDS)
    assert total(1, 2, 3) == 6 and total(1, minus=2) == -1999
    with pytest.raises(TypeError):
        total(1, "two")


def test_what_the_language_lacks_is_named_with_its_line():
    with pytest.raises(GlueError, match=r"f: line 3 .*no local y"):
        Library(entries=["f"], text="def f(x: i64) -> i64:\n    x = x + 1\n    return y\n")
    with pytest.raises(GlueError, match="operands of type"):
        Library(entries=["f"], text="def f(x: i64) -> i64:\n    return x + 1.5\n")
    with pytest.raises(GlueError, match="without a result"):
        Library(entries=["f"], text="def f(x: i64) -> i64:\n    if x:\n        return 1\n")
    with pytest.raises(GlueError, match="Fnord is not listed"):
        Library(entries=["f"], text="def f(x: i64) -> i64:\n    return c.Fnord(x)\n")


def test_what_no_entry_calls_is_left_out(library):
    with pytest.raises(KeyError):
        library.address("twice")
    text = "def f(x: i64) -> i64:\n    return x\n\ndef g(x: i64) -> i64:\n    return y\n"
    assert call(Library(text=text, entries=["f"]), "f", I64, I64)(3) == 3
    with pytest.raises(GlueError, match="no function h"):
        Library(text=text, entries=["h"])


def test_no_source_is_read_where_object_code_is_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("DUALGRAPH_CACHE_DIR", str(tmp_path))

    def made():
        return Library([f"{waves.__name__}.code"], entries=["wave_parts"])

    assert made().address("wave_parts")
    aside(lambda: None).result()  # it is written by then
    monkeypatch.setattr(library_module, "_source", None)
    assert made().address("wave_parts")


def test_sources_are_parsed_again_where_another_thread_parsed_meanwhile(monkeypatch):
    parse, calls = library_module.ast.parse, []

    def disturbed(text):
        calls.append(text)
        if len(calls) < 3:
            raise SystemError("AST constructor recursion depth mismatch (before=51, after=230)")
        return parse(text)

    monkeypatch.setattr(library_module.ast, "parse", disturbed)
    assert [s.name for s in library_module._parsed("def f(x): return x")] == ["f"]
    assert len(calls) == 3


def test_a_llvmlite_without_these_passes_is_enough(monkeypatch):
    monkeypatch.setenv("DUALGRAPH_CACHE", "0")
    monkeypatch.setattr(generators, "TIDY", ("sroa", "fnord"))
    text = "def f(x: i64) -> i64:\n    while x > 9:\n        x = x // 2\n    return x\n"
    assert call(Library(text=text, entries=["f"]), "f", I64, I64)(100) == 6


def test_the_layout_of_arrays_and_slots_is_found_on_live_objects():
    class Slotted:
        __slots__ = ("__dict__", "one", "two")

    assert slot_offset(Slotted, "two") - slot_offset(Slotted, "one") == 8
    places = array_offsets()
    x = np.empty((4, 5))
    assert PTR.from_address(id(x) + places["DATA"]).value == x.ctypes.data
