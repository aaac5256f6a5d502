"""Our threads give way soon, and leave the interpreter's interval as it was."""

import sys
import threading

from dualgraph.core.turns import BRIEF, Yielding
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
        with yielding, yielding:
            sys.setswitchinterval(0.002)
        assert abs(sys.getswitchinterval() - 0.002) < 1e-6
    finally:
        sys.setswitchinterval(before)
