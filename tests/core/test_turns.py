"""Our threads give way soon, and leave the interpreter's interval as it was."""

import ctypes
import os
import sys
import threading

import pytest

from dualgraph.core.turns import BRIEF, MODEST, SLACK, Yielding, modest
from dualgraph.core.workers import Workers


def test_the_interval_is_short_while_a_job_runs_and_then_as_before():
    workers, begun, end = Workers("test", 1), threading.Event(), threading.Event()
    before = sys.getswitchinterval()

    def work() -> float:
        begun.set()
        end.wait()
        return sys.getswitchinterval()

    job = workers.submit(work)
    begun.wait()
    end.set()
    assert job.result() <= BRIEF * 1.01
    workers._finish()
    assert sys.getswitchinterval() == before


def test_what_a_user_sets_meanwhile_stays():
    before, yielding = sys.getswitchinterval(), Yielding()
    try:
        yielding.enter()
        yielding.enter()
        sys.setswitchinterval(0.002)
        yielding.leave()
        yielding.leave()
        assert abs(sys.getswitchinterval() - 0.002) < 1e-6
    finally:
        sys.setswitchinterval(before)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux rounds short waits up")
def test_workers_wait_no_longer_than_they_ask_for() -> None:
    """Else a caller that lets go of the interpreter every 50 microseconds would keep it from them."""
    slack = ctypes.CDLL(None).prctl
    assert Workers("slack", 1).submit(lambda: slack(30, 0, 0, 0, 0)).result() == SLACK[1]


@pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="threads have no priority elsewhere"
)
def test_a_modest_thread_leaves_the_others_as_they_are() -> None:
    own, found = os.getpriority(os.PRIO_PROCESS, 0), []

    def work() -> None:
        modest()
        found.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [min(own + MODEST, 19)]
    assert os.getpriority(os.PRIO_PROCESS, 0) == own
