"""Our threads wait no longer than they ask for, and leave the processors to callers."""

import ctypes
import os
import sys
import threading

import pytest

from dualgraph.core.process.turns import MODEST, SLACK, modest
from dualgraph.core.process.workers import Workers


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
