"""Threads of one call run on processors of their own."""

from __future__ import annotations

import ctypes
import os

import numpy as np
import pytest

from dualgraph.backends.native import api
from dualgraph.backends.native.addresses import address_of
from dualgraph.backends.native.jit import jit
from dualgraph.backends.native.team import apart
from dualgraph.backends.native.team.runtime import LINE, MAILBOX, emit_runtime

pytestmark = pytest.mark.skipif(
    not api.available() or not apart.can_move(), reason="no native threads that say where they run"
)

TRY = """
define void @try(ptr %team, i64 %me) { call void @apart(ptr %team, i64 %me) ret void }
"""


class Seats:
    """A team's memory, in which the calling thread plays a part."""

    def __init__(self, threads: int) -> None:
        self.machine = jit().compile(emit_runtime(0) + TRY, ("try",))
        call = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64)
        self.function = call(self.machine.addresses["try"])
        self.memory = np.zeros(MAILBOX + threads * LINE, dtype=np.uint8)

    def set(self, thread: int, cpu: int) -> None:
        at = MAILBOX + thread * LINE + apart.SEAT
        self.memory[at : at + 4].view(np.int32)[0] = cpu

    def join(self, me: int) -> None:
        self.function(address_of(self.memory), me)


def _where() -> int:
    return int(ctypes.CDLL(None).sched_getcpu())


@pytest.fixture
def own_affinity():
    before = os.sched_getaffinity(0)
    if len(before) < 2:
        pytest.skip("one processor")
    yield sorted(before)
    os.sched_setaffinity(0, before)


def test_a_thread_leaves_the_processor_of_one_before_it(own_affinity):
    seats, left = Seats(2), 0
    for cpu in own_affinity[:2] * 10:
        os.sched_setaffinity(0, {cpu})
        os.sched_setaffinity(0, own_affinity[:2])
        taken = _where()
        seats.set(0, taken)
        seats.join(1)
        left += _where() != taken
        assert os.sched_getaffinity(0) == set(own_affinity[:2])
    assert left > 10  # a busy system may move it at any time, to and fro


def test_a_thread_stays_where_all_processors_are_taken(own_affinity):
    seats = Seats(3)
    only = own_affinity[:2]
    os.sched_setaffinity(0, only)
    for i, cpu in enumerate(only):
        seats.set(i, cpu)
    seats.join(2)
    assert os.sched_getaffinity(0) == set(only)
    assert _where() in only


def test_a_thread_that_may_run_on_one_processor_stays_there(own_affinity):
    seats = Seats(2)
    os.sched_setaffinity(0, own_affinity[:1])
    seats.set(0, own_affinity[0])
    seats.join(1)
    assert os.sched_getaffinity(0) == set(own_affinity[:1])
    assert _where() == own_affinity[0]
