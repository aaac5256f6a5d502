"""Memory that a tensor is given between calls, or in the midst of one: by another thread, whenever Python runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

import dualgraph as dg
from dualgraph.backends.native import api
from dualgraph.core.numbers.formulas import Formulas
from dualgraph.jit import hot
from dualgraph.jit.compile import Compiled
from dualgraph.jit.program import Program
from dualgraph.merge.running import compiled, run


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Calls are told natively from the first ones on."""
    if not api.available():
        pytest.skip("there is no native code here")
    hot.install(Compiled, Compiled._run_hot)
    monkeypatch.setattr(hot, "PATIENT", False)
    monkeypatch.setattr(hot, "AGAIN", 1)
    yield


class Turn:
    """Another thread gets its turn where this is called: it gives a tensor other memory, once."""

    def __init__(self, tensor: Any, new: Callable[[], Any]) -> None:
        self.tensor, self.new, self.armed = tensor, new, False

    def __call__(self) -> None:
        if self.armed:
            self.armed = False
            self.tensor.data = self.new()


def test_state_that_lies_in_another_order(at_once: None) -> None:
    w, x = dg.arange(16.0).reshape(4, 4) * 1, dg.ones(4, 4)
    f = dg.compile(lambda x: x * w + 1, wait=True)
    for _ in range(4):
        f(x)
    assert f._hot, f.explain()
    w.t_()  # the same type: its elements lie column by column
    assert f(x).tolist() == (x * w + 1).tolist()


@pytest.mark.parametrize("size", [3, 100])
def test_an_argument_exchanged_while_a_native_call_works_out_numbers(
    at_once: None, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    x = dg.ones(40)
    turn = Turn(x, lambda: dg.ones(size))
    plain = Formulas.arrays_of

    def arrays_of(*what: Any) -> Any:
        made = plain(*what)

        def numbers(*args: Any) -> Any:
            turn()
            return made(*args)

        return numbers

    monkeypatch.setattr(Formulas, "arrays_of", arrays_of)
    f = dg.compile(lambda x, a: (x * a, a + 1), wait=True)
    for i in range(12):
        f(x, 0.5 + i)
    assert f._hot and len(f.programs) == 1, f.explain()
    turn.armed = True
    assert f(x, 2.0)[0].tolist() == [2.0] * size
    assert not turn.armed


@pytest.mark.parametrize("size", [3, 100])
def test_an_argument_exchanged_after_a_call_was_looked_up(
    monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    """The call goes on eagerly, and nothing is kept of it under what it was looked up by."""
    x = dg.ones(40)
    turn = Turn(x, lambda: dg.ones(size))
    plain = Program.broken

    def broken(self: Program, leaves: list[Any]) -> Any:
        turn()
        return plain(self, leaves)

    monkeypatch.setattr(Program, "broken", broken)
    f = dg.compile(lambda x: x * 2, wait=True)
    g = dg.compile(lambda x: (x.mul_(2), x.sum().item()), wait=True)
    for fn in (f, g):
        x.data = dg.ones(40)
        fn(x)
        x.data = dg.ones(40)
        turn.armed = True
        assert fn(x)[0].tolist() in ([2.0] * size, 2.0)
        assert x.shape == (size,) and not turn.armed
        assert len(fn.programs) == 1


def test_an_operand_of_a_merged_composite_exchanged_before_it_runs() -> None:
    program = compiled(dg.capture(lambda x: x.softmax(0), dg.ones(40)))
    assert run(program, [dg.ones(40).numpy()])[0].shape == (40,)
    with pytest.raises(ValueError, match="other memory"):
        run(program, [dg.ones(3).numpy()])
