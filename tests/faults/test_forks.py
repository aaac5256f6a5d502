"""Processes made by fork and by spawn, before, while and after programs are compiled."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.faults.processes import run

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")

START = """
import os, sys, time, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # 3.12 warns of any fork with threads
import dualgraph as dg
def f(x):
    return (dg.tanh(x @ x) * dg.exp(-x)).sum(axis=1)
x = dg.randn(300, 300)
expected = f(x).tolist()
def in_child(work):
    pid = os.fork()
    if pid == 0:
        try:
            work()
        except BaseException:
            import traceback
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    end = time.monotonic() + 30
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            break
        if time.monotonic() > end:
            os.kill(pid, 9)
            sys.exit("the child hangs")
        time.sleep(0.005)
    if status:
        sys.exit(f"the child failed: {status}")
"""


@needs_fork
def test_a_child_uses_what_its_parent_compiled() -> None:
    run(START + """
g = dg.compile(f, wait=True)
g(x), g(x)
def work():
    assert g(x).tolist() == expected and f(x).tolist() == expected
    assert dg.compile(lambda x: f(x) * 2, wait=True)(x).tolist() == (f(x) * 2).tolist()
in_child(work)
work()
""", DUALGRAPH_NUM_THREADS="3")  # fmt: skip


@needs_fork
@pytest.mark.parametrize("cache", ["0", "1"])
def test_a_fork_while_programs_are_compiled(cache: str) -> None:
    """The child neither hangs on a lock nor waits for a thread that it does not have."""
    run(START + """
functions = [dg.compile(lambda x, i=i: f(x) * (i + 1)) for i in range(6)]
for i, g in enumerate(functions):
    g(x)
    def work():
        for j, h in enumerate(functions):
            assert h(x).tolist() == (f(x) * (j + 1)).tolist()
        for h in functions:
            h.wait()
            assert all(p.ready for p in h.programs)
    if i % 2:
        in_child(work)
work()
""", DUALGRAPH_NUM_THREADS="2", DUALGRAPH_CACHE=cache)  # fmt: skip


@needs_fork
def test_a_child_that_forks_before_anything_was_used() -> None:
    run(START.replace("expected = f(x).tolist()", "") + """
def work():
    assert dg.compile(f, wait=True)(x).tolist() == f(x).tolist()
in_child(work)
work()
in_child(lambda: in_child(work))
""")  # fmt: skip


WORKERS = """
import multiprocessing as mp, warnings
warnings.simplefilter("ignore", DeprecationWarning)
import dualgraph as dg

@dg.compile(wait=True)
def f(x):
    return dg.tanh(x @ x).sum(axis=1)

def work(seed):
    dg.manual_seed(seed)
    x = dg.randn(50, 50)
    assert f(x).tolist() == f(x).tolist() == dg.tanh(x @ x).sum(axis=1).tolist()
    return f(x).tolist()

if __name__ == "__main__":
    with mp.get_context({method!r}).Pool(2) as pool:
        there = pool.map(work, range(4))
    assert there == [work(seed) for seed in range(4)]
    with mp.get_context({method!r}).Pool(2) as pool:
        assert pool.map(work, range(4)) == there
    print("done")
"""


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_pools_of_processes(method: str, tmp_path: Path) -> None:
    if method == "fork" and not hasattr(os, "fork"):
        pytest.skip("there is no fork")
    program = tmp_path / "program.py"
    program.write_text(WORKERS.format(method=method))
    assert run(program) == "done\n"


def test_the_interpreter_ends_while_programs_are_compiled() -> None:
    out = run("""
import dualgraph as dg
f = dg.compile(lambda x: dg.tanh(x @ x).sum(axis=1))
f(dg.randn(100, 100))
print("last line")
""", DUALGRAPH_CACHE="0")  # fmt: skip
    assert out == "last line\n"


@needs_fork
def test_a_fork_while_another_thread_frees_what_llvm_made() -> None:
    """LLVM's lock, which llvmlite takes for every call, is free in the child."""
    pytest.importorskip("llvmlite")
    run(START + """
import threading
assert dg.compile(f, wait=True)(x).tolist() == expected
import llvmlite.binding as llvm
import dualgraph.backends.native.generators
text = "define i64 @f() {\\n" + "".join(f"%a{i} = add i64 {i}, {i}\\n" for i in range(500)) + "ret i64 0\\n}"
stop = False
def user():
    while not stop:
        llvm.parse_assembly(text)
thread = threading.Thread(target=user)
thread.start()
for _ in range(20):
    in_child(lambda: llvm.parse_assembly(text))
stop = True
thread.join()
""", DUALGRAPH_NUM_THREADS="2", DUALGRAPH_CACHE="0")  # fmt: skip


@needs_fork
def test_a_child_finds_no_lock_held_and_does_the_jobs_that_are_left() -> None:
    run(START + """
import threading
from dualgraph.core.process import forks
from dualgraph.core.process.workers import Workers
from dualgraph.jit.tracing import capturing
forks.PATIENCE = 0.02  # as where other threads never pause
workers, go, held, parent = Workers("test", 1), threading.Event(), forks.lock(), os.getpid()
begun = workers.submit(lambda: go.wait() if os.getpid() == parent else 1)
waiting = workers.submit(lambda: 2)
def user():
    with held, capturing.lock:
        go.wait()
def enters():
    with forks.records:
        time.sleep(0.3)
threads = [threading.Thread(target=user), threading.Thread(target=enters)]
for t in threads:
    t.start()
time.sleep(0.1)
def work():
    with held, forks.records:
        assert capturing.lock.acquire(blocking=False)
        capturing.lock.release()
    assert begun.result() == 1 and waiting.result() == 2
    assert dg.compile(f, wait=True)(x).tolist() == expected
in_child(work)
go.set()
for t in threads:
    t.join()
assert begun.result() is True and waiting.result() == 2
""", DUALGRAPH_NUM_THREADS="2", DUALGRAPH_CACHE="0")  # fmt: skip
