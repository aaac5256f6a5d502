"""Object code is put into memory without LLVM; what the loader does not know is left to LLVM."""

from __future__ import annotations

import ctypes
import gc
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from dualgraph.backends.native import api, loader
from tests.faults.processes import KEPT, run

pytestmark = pytest.mark.skipif(not api.available(), reason="llvmlite is not installed")
needs_loader = pytest.mark.skipif(not loader.possible(), reason="Linux on x86-64 only")

NUMBER = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)
TEXT = """
@count = internal global i64 0
@table = global [4 x i64] zeroinitializer
@numbers = internal constant [4 x i64] [i64 10, i64 20, i64 30, i64 40]
declare i64 @labs(i64)
declare ptr @memset(ptr, i32, i64)

define i64 @outside(i64 %x) {
  %y = call i64 @labs(i64 %x)
  ret i64 %y
}
define i64 @counted(i64 %x) {
  %old = load i64, ptr @count
  %new = add i64 %old, %x
  store i64 %new, ptr @count
  ret i64 %new
}
define i64 @listed(i64 %x) {
  %at = getelementptr i64, ptr @numbers, i64 %x
  %y = load i64, ptr %at
  %slot = getelementptr i64, ptr @table, i64 %x
  store i64 %y, ptr %slot
  %z = load i64, ptr %slot
  ret i64 %z
}
define i64 @chosen(i64 %x) {
  switch i64 %x, label %other [i64 0, label %a i64 1, label %b i64 2, label %c i64 3, label %d i64 4, label %e]
a: ret i64 7
b: ret i64 11
c: ret i64 13
d: ret i64 -5
e: ret i64 99
other: ret i64 0
}
define double @scaled(double %x) {
  %y = fmul double %x, 3.25
  ret double %y
}
"""
SYMBOLS = ("outside", "counted", "listed", "chosen", "scaled", "table")


def object_code(text: str = TEXT) -> bytes:
    from dualgraph.backends.native.jit import jit

    return jit().finished(jit().assemble(text))


def functions(addresses: dict[str, int]) -> dict[str, Callable[[int], int]]:
    return {name: NUMBER(address) for name, address in addresses.items()}


@needs_loader
def test_code_constants_data_slots_and_functions_outside() -> None:
    found = loader.load(object_code(), SYMBOLS)
    assert found is not None
    f = functions(found.addresses)
    assert [f["outside"](x) for x in (-3, 4)] == [3, 4]
    assert [f["counted"](5) for _ in range(3)] == [5, 10, 15]
    assert [f["listed"](i) for i in range(4)] == [10, 20, 30, 40]
    assert [f["chosen"](i) for i in range(-1, 6)] == [0, 7, 11, 13, -5, 99, 0]
    scaled = ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double)(found.addresses["scaled"])
    assert scaled(2.0) == 6.5
    table = (ctypes.c_int64 * 4).from_address(found.addresses["table"])
    assert list(table) == [10, 20, 30, 40]


@needs_loader
def test_each_load_has_data_of_its_own_and_gives_its_memory_back() -> None:
    code = object_code()
    first, second = (loader.load(code, SYMBOLS) for _ in range(2))
    assert first is not None and second is not None
    one, two = functions(first.addresses), functions(second.addresses)
    assert (one["counted"](1), one["counted"](1), two["counted"](1)) == (1, 2, 1)
    mapped = f"{first.addresses['table'] & ~0xFFF:x}-"
    maps = Path("/proc/self/maps")
    inside = [line for line in maps.read_text().splitlines() if "x" in line.split()[1]]
    assert not [line for line in inside if "w" in line.split()[1] and mapped in line]
    base = first.memory.address
    del first, one
    gc.collect()
    assert f"{base:x}-" not in maps.read_text()


@needs_loader
def test_every_truncation_and_other_files_are_left_to_llvm() -> None:
    code = object_code()
    for end in range(0, len(code) - 1, 97):
        cut = loader.load(code[:end], ())
        assert cut is None or end > len(code) // 2  # never a crash
    assert loader.load(b"", ()) is None
    assert loader.load(b"\x7fELF\x02\x01" + bytes(200), ()) is None
    other = bytearray(code)
    other[18] = 183  # AArch64
    assert loader.load(bytes(other), ()) is None


def test_llvm_links_what_the_loader_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    from dualgraph.backends.native import jit as module

    monkeypatch.setattr(module, "load", lambda code, symbols: None)
    keep, addresses = module.jit().link(object_code(), SYMBOLS)
    assert functions(addresses)["outside"](-8) == 8 and keep is not None


@needs_loader
def test_code_that_calls_an_unknown_function_is_left_to_llvm() -> None:
    text = TEXT.replace("@labs", "@fnord_of_nobody")
    assert loader.load(object_code(text), ("outside",)) is None


WARM = """
import sys
import dualgraph as dg
f = dg.compile(lambda x: (dg.tanh(x @ x) * dg.exp(-x)).sum(axis=1), wait=True)
x = dg.reshape(dg.arange(64, dtype=dg.float32), (8, 8)) / 64
assert f(x).tolist() == f(x).tolist()
print(sorted(m for m in sys.modules if m.startswith("llvmlite")))
"""


@needs_loader
def test_a_warm_start_does_not_load_llvm(tmp_path: Path) -> None:
    assert "llvmlite.binding" in run(WARM + KEPT, DUALGRAPH_CACHE_DIR=str(tmp_path))
    assert run(WARM, DUALGRAPH_CACHE_DIR=str(tmp_path)).strip() == "[]"


ENDING = """
import threading, time
import dualgraph as dg
big = dg.ones(400, 400)
g = dg.compile(lambda x: (x @ x).sum(), wait=True, memory="1GB")
def go():
    while True:
        g(big)
for _ in range(2):
    threading.Thread(target=go, daemon=True).start()
time.sleep(0.2)
"""


def test_the_interpreter_ends_while_threads_run_native_code(tmp_path: Path) -> None:
    """With nothing kept, while more is compiled; and with everything kept."""
    for _ in range(3):
        run(ENDING, DUALGRAPH_CACHE_DIR=str(tmp_path), DUALGRAPH_NUM_THREADS="2", timeout=240)


BESIDE = """
import ctypes, threading, time
from dualgraph.backends.native.thread_memory import memory
SIZE = 2**28
begun = threading.Event()
def go():
    address = memory("test", SIZE)
    begun.set()
    ctypes.CDLL(None).memset(ctypes.c_void_p(address), 1, ctypes.c_size_t(SIZE))
threading.Thread(target=go, daemon=True).start()
begun.wait()
time.sleep(0.01)
"""


def test_memory_of_threads_lasts_while_they_are_in_native_code() -> None:
    """The interpreter drops the thread-local variables of daemon threads when it ends."""
    run(BESIDE)


def test_nobody_comes_into_llvm_once_the_interpreter_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """The end waits for those inside; who comes later than that waits for good."""
    generators = pytest.importorskip("dualgraph.backends.native.generators")
    monkeypatch.setattr(generators, "LOCK", None)  # others need it after this test
    inside, entered, go, ended, over = generators._Inside(), *(threading.Event() for _ in range(4))
    came: list[int] = []

    def stay() -> None:
        with inside:
            entered.set()
            go.wait(60)

    def come() -> None:
        with inside:
            came.append(threading.get_ident())

    def end() -> None:
        inside._end()
        come()  # it alone may
        ended.set()
        over.wait(60)  # as another thread may get the number of one that is gone

    threading.Thread(target=stay).start()
    entered.wait(60)
    ending = threading.Thread(target=end)
    ending.start()
    assert not ended.wait(0.1)
    go.set()
    assert ended.wait(60)
    late = threading.Thread(target=come, daemon=True)
    late.start()
    late.join(0.1)
    assert came == [ending.ident] and late.is_alive()
    over.set()


LATE = """
import builtins, sys
import numpy as np
import dualgraph as dg

class Last:
    def __init__(self):
        self.held = [dg.ones(40_000) * i for i in range(30)]

    def __del__(self):
        self.held.clear()

builtins.last_of_all = Last()
sys.held_as_well = [np.add(x.numpy(), 1.0) for x in builtins.last_of_all.held]
f = dg.compile(lambda x: (x @ x).sum(), wait=True, memory="1GB")
f(dg.ones(300, 300)), f(dg.ones(300, 300))
"""


@pytest.mark.parametrize("quick", ["0", "1"])
def test_arrays_that_are_freed_after_the_modules(tmp_path: Path, quick: str) -> None:
    """Their memory goes back to the caching allocator, whose state has to be there still."""
    for _ in range(2):
        run(LATE, DUALGRAPH_CACHE_DIR=str(tmp_path), DUALGRAPH_QUICK=quick, timeout=240)
