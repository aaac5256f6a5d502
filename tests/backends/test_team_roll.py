"""Threads that come late to a call are left out of it."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import pytest

from dualgraph.backends.native import api
from dualgraph.backends.native.addresses import address_of
from dualgraph.backends.native.jit import jit
from dualgraph.backends.native.team.runtime import LINE, MAILBOX, emit_runtime
from dualgraph.backends.native.team.team import Team

pytestmark = pytest.mark.skipif(not api.available(), reason="no native code")

TRY = """
define i32 @try.open(ptr %team) { %n = call i32 @open.roll(ptr %team) ret i32 %n }
define i1 @try.enrol(ptr %team, i32 %n) { %on = call i1 @enrol(ptr %team, i32 %n) ret i1 %on }
define void @try.leave(ptr %team) { call void @leave.roll(ptr %team) ret void }
define void @try.close(ptr %team) { call void @close.roll(ptr %team) ret void }
"""


class Roll:
    """The roll of a team's memory, called by the test for all who take part."""

    def __init__(self) -> None:
        names = ("open", "enrol", "leave", "close")
        self.machine = jit().compile(emit_runtime(0) + TRY, tuple(f"try.{n}" for n in names))
        self.memory = np.zeros(MAILBOX + LINE, dtype=np.uint8)
        results = (ctypes.c_int32, ctypes.c_bool, None, None)
        for name, result in zip(names, results, strict=True):
            function = ctypes.CFUNCTYPE(result, ctypes.c_void_p, ctypes.c_int32)
            setattr(self, f"_{name}", function(self.machine.addresses[f"try.{name}"]))

    def __getattr__(self, name: str) -> Any:
        return lambda number=0: getattr(self, f"_{name}")(address_of(self.memory), number)


def test_a_worker_is_on_the_roll_that_it_was_sent_while_that_is_open() -> None:
    roll = Roll()
    first = roll.open()
    assert roll.enrol(first) and roll.enrol(first)
    assert not roll.enrol(first + 1) and not roll.enrol(first - 1)
    roll.leave(), roll.leave()
    roll.close()  # waits for nobody: both have left
    assert not roll.enrol(first)  # closed
    second = roll.open()
    assert second != first and not roll.enrol(first)  # the number of a call that is over
    assert roll.enrol(second)
    roll.leave()
    roll.close()


def test_a_call_without_barriers_is_done_though_no_worker_comes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    team, done = Team(), []
    monkeypatch.setattr(team, "size", lambda: 4)  # and none of three was started

    def part(block: Any, scratch: Any, begin: int, end: int) -> None:
        done.append((begin, end))

    call = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)
    kernel = call(part)
    for extent in (1, 7, 61, 640):
        done.clear()
        team.share(ctypes.cast(kernel, ctypes.c_void_p).value or 0, (), extent)
        ends = [end for _, end in sorted(done)]
        assert [begin for begin, _ in sorted(done)] == [0, *ends[:-1]] and ends[-1] == extent
