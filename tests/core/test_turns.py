"""Our threads give way soon, and leave the interpreter's interval as it was."""

import ctypes
import sys
import threading

import pytest

from dualgraph.core.turns import BRIEF, SLACK, Yielding
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
