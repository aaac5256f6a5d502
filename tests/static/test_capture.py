"""Capture: what a graph holds, what it assumes, what it refuses, and how it says so."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

import dualgraph as dg
from dualgraph.core.watch import Seen, Watched, origin_of, watched


def names(graph: Any) -> list[str]:
    """The ops of a graph, in order."""
    return [n.prim.name for n in graph.nodes]


# --- the graph -----------------------------------------------------------------------------------


def test_a_capture_is_a_graph_of_the_ops_that_ran() -> None:
    g = dg.capture(lambda x, y: (x * 2 + y).sum(), dg.ones(3), dg.ones(3))
    assert names(g) == ["multiply", "add", "reduce_sum"]
    assert [str(t) for t in g.in_types] == ["f32[3]", "f32[3]"]
    assert g.run(dg.ones(3), dg.ones(3))[0].item() == 9.0
    assert dg.parse(str(g)) == g


def test_lines_of_the_user_are_kept() -> None:
    g = dg.capture(lambda x: x * 2, dg.ones(3))
    assert "test_capture.py" in str(g.nodes[0].where)


def test_parameters_are_inputs_and_updates_are_outputs() -> None:
    w = dg.ones(3, requires_grad=True)

    def step(x: Any) -> Any:
        loss = (x * w).sum()
        loss.backward()
        with dg.no_grad():
            w.sub_(w.grad)
        w.grad = None
        return loss.detach()

    g = dg.capture(step, dg.ones(3))
    assert len(g.inputs) == 2
    assert [str(t) for t in g.out_types] == ["f32[]", "f32[3]"]


def test_numbers_taken_out_are_outputs_to_check() -> None:
    f = dg.compile(lambda x: x * 2 if x.sum() > 0 else x, wait=True)
    f(dg.ones(3))
    (taken,) = [a for a in f.programs[0].assumptions if a.kind == "value"]
    assert taken.value is True
    assert "test_capture.py" in str(taken.where)


def test_a_capture_runs_the_function_once() -> None:
    calls: list[int] = []

    class Counting:
        def __call__(self, x: Any) -> Any:
            calls.append(1)
            return x * 2

    with pytest.raises(dg.CaptureError, match="changes"):
        dg.capture(Counting(), dg.ones(2))
    assert calls == [1]


def test_captures_do_not_nest_and_leave_no_tracer_behind() -> None:
    with pytest.raises(dg.DualgraphError):
        dg.capture(lambda x: x.undefined_operation if x.sum() < 0 else x @ dg.ones(7), dg.ones(3))
    assert names(dg.capture(lambda x: x + 1, dg.ones(2))) == ["add"]


def test_a_function_inside_a_capture_sees_real_values() -> None:
    seen: dict[str, Any] = {}

    def f(x: Any) -> Any:
        y = x * 2
        seen.update(text=str(y), values=y.tolist(), array=y.numpy())
        return y

    dg.compile(f)(dg.ones(2))
    assert seen["values"] == [2.0, 2.0]
    assert "2." in seen["text"]
    assert isinstance(seen["array"], np.ndarray)


# --- what it says --------------------------------------------------------------------------------


REASONS: dict[str, tuple[Any, str]] = {
    "an effect": (lambda x: (print(end=""), x)[1], "print"),
    "values that left": (lambda x: x * max(x.repeat(9).tolist()), "tolist"),
    "foreign randomness": (lambda x: x * np.random.bytes(1)[0], "generator"),
    "a new object": (lambda x: (x, object()), "object"),
    "a new array": (lambda x: (x, np.ones(3)), "ndarray"),
    "an unpredictable seed": (lambda x: (dg.seed(), x)[1], "seed"),
    "an identity": (lambda x: x * (id(x) % 2), "id"),
    "an op that fails": (lambda x: _tries(x), "failed"),
}


def _tries(x: Any) -> Any:
    try:
        return x[dg.tensor([9])]
    except IndexError:
        return x


@pytest.mark.parametrize("what", REASONS)
def test_what_cannot_be_repeated_is_refused_with_a_reason(what: str) -> None:
    fn, word = REASONS[what]
    with pytest.raises(dg.CaptureError, match=word):
        dg.capture(fn, dg.ones(2))
    f = dg.compile(fn, wait=True)
    for _ in range(3):
        f(dg.ones(2))
    assert not f.programs
    assert word in f.explain()


def test_explain_says_what_changed() -> None:
    scale = 2.0

    @dg.compile(wait=True)
    def f(x: Any) -> Any:
        return x * scale

    f(dg.ones(2))
    scale = 3.0
    f(dg.ones(2))
    f(dg.ones(5))
    assert "scale changed" in f.explain()
    assert len(f.programs) == 2
    assert any(
        a.name == "scale" and a.value == "any float" for p in f.programs for a in p.assumptions
    )


def test_paths_and_kinds_are_bounded() -> None:
    f = dg.compile(lambda x: x * x.sum().item(), wait=True)
    for i in range(30):
        assert f(dg.ones(2) * i).tolist() == [2.0 * i * i] * 2
    assert len(f.programs) <= 8
    assert "paths" in f.explain()


def test_one_program_serves_numpy_arrays_of_other_values() -> None:
    w = dg.ones(3)
    f = dg.compile(lambda n: (dg.asarray(n) * w).sum(), wait=True)
    for i in range(4):
        assert f(np.full(3, float(i), dtype=np.float32)).item() == 3.0 * i
    assert len(f.programs) == 1
    assert f.programs[0].calls == 3


def test_the_first_call_returns_before_compilation_and_wait_ends_it() -> None:
    f = dg.compile(lambda x: x.exp().sum())
    f(dg.ones(4))
    f.wait()
    assert f.programs[0].ready
    f(dg.ones(4))
    assert f.programs[0].calls == 1


# --- watched arrays ------------------------------------------------------------------------------


READS: dict[str, Any] = {
    "item": lambda n: n[0], "float": lambda n: float(n[0]), "sum": lambda n: n.sum(), "compare": lambda n: n > 0,
    "iterate": list, "text": str, "arithmetic": lambda n: 2 * n + 1, "method": lambda n: n.tolist(),
    "in": lambda n: 1 in n, "format": lambda n: f"{n}", "in place": lambda n: n.__iadd__(1), "ufunc": np.exp,
    "function": lambda n: np.stack([n, n]), "list": lambda n: np.array([n, n]),
    "index": lambda n: np.arange(9)[n.astype(int)],
    "scalar": np.float32, "copy": copy.deepcopy, "power": lambda n: n**0.5 - 2.0**n,
    "divmod": lambda n: divmod(n, 2)[1],
    "out": lambda n: np.add(n, 1, out=n), "at": lambda n: np.add.at(n, [0], 1) or n, "transpose": lambda n: n.T,
    "set": lambda n: n.__setitem__(0, 5) or n, "interface": lambda n: n.__array_interface__["shape"],
}  # fmt: skip


@pytest.mark.parametrize("how", READS)
def test_watched_arrays_notice_reads_and_give_what_the_array_gives(how: str) -> None:
    array, same = np.array([1.0, 2.0]), np.array([1.0, 2.0])
    seen = Seen()
    result = READS[how](watched(array, seen))
    assert seen.was_read
    np.testing.assert_array_equal(result, READS[how](same))
    np.testing.assert_array_equal(array, same)


def test_watched_arrays_do_not_mind_being_an_operand() -> None:
    array, reads = np.array([1.0, 2.0], dtype=np.float32), Seen()
    seen = watched(array, reads)
    assert isinstance(seen, np.ndarray) and (seen.size, seen.nbytes, seen.strides) == (2, 8, (4,))
    assert (seen.shape, seen.dtype, len(seen), seen.ndim) == ((2,), np.float32, 2, 1)
    for result in (
        dg.ones(2) + seen,
        seen * dg.ones(2),
        dg.exp(dg.asarray(seen)),
        dg.from_numpy(seen),
    ):
        assert isinstance(result, dg.Tensor)
    assert not hasattr(seen, "__dict__") and not hasattr(seen, "names")
    assert not reads.was_read
    assert origin_of(seen) is array
    assert not isinstance(seen[:1], Watched)


def test_one_tensor_passed_twice_is_read_once_and_runs_compiled():
    def f(a, b):
        return (a * b).sum()

    def write(a, b):
        a.add_(1)
        return a * b

    x, y = dg.tensor([1.0, 2.0]), dg.tensor([1.0, 2.0])
    assert len(dg.capture(f, x, x).outputs) == 1
    for fn in (f, write):
        compiled = dg.compile(fn, wait=True)
        for _ in range(3):
            assert compiled(x, x).tolist() == fn(y, y).tolist()
            assert x.tolist() == y.tolist()
        assert compiled.programs[0].calls == 2, compiled.explain()
        assert compiled(x, dg.ones(2)).tolist() == fn(y, dg.ones(2)).tolist()


def test_writing_an_argument_that_is_a_view_runs_compiled_and_reaches_its_base():
    def f(u, w):
        u[1:-1] = u[1:-1] * w
        return u.sum()

    compiled = dg.compile(f, wait=True)
    bases = [dg.arange(7, dtype=dg.float32) for _ in range(2)]
    for _ in range(3):
        results = [
            fn(base[1:-1], dg.ones(3) * 2) for fn, base in zip((compiled, f), bases, strict=True)
        ]
        assert results[0].item() == results[1].item()
        assert bases[0].tolist() == bases[1].tolist()
    assert compiled.programs[0].calls == 2, compiled.explain()


def test_a_captured_call_leaves_the_base_of_a_written_view_its_history():
    def f(u, w):
        u.mul_(w)

    grads = []
    for fn in (f, dg.compile(f, wait=True)):
        base, w = dg.ones(4), dg.tensor([2.0, 3.0], requires_grad=True)
        fn(base[1:3], w)
        base.sum().backward()
        grads.append(w.grad.tolist())
    assert grads == [[1.0, 1.0], [1.0, 1.0]]
