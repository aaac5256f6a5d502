"""Settings of the interpreter are ours while work is in hand, and then as they were."""

from __future__ import annotations

import gc
import os
import sys
import threading

import pytest

from dualgraph.core.process.settings import BRIEF, SELDOM, Meanwhile, undisturbed
from dualgraph.core.process.workers import Workers


def test_the_interval_is_short_while_a_job_runs_and_then_as_before() -> None:
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


def test_a_value_that_a_user_sets_meanwhile_stays() -> None:
    values = [0.005]
    setting = Meanwhile(lambda: values[-1], values.append, lambda usual: min(usual, 0.00002))
    with setting, setting:
        values.append(0.002)
    assert values == [0.005, 0.00002, 0.002]
    with setting, setting:
        assert values[-1] == 0.00002
    assert values[-1] == 0.002


def test_searches_for_cycles_begin_seldom() -> None:
    before = gc.get_threshold()
    with undisturbed:
        assert gc.get_threshold() == (SELDOM, *before[1:])
    assert gc.get_threshold() == before


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_child_begins_outside_whatever_a_thread_of_its_parent_held() -> None:
    """The thread that would leave, or free the lock, is not there in the child."""
    values, held, end = [5], threading.Event(), threading.Event()
    setting = Meanwhile(lambda: values[-1], values.append, lambda usual: 1)

    def hold() -> None:
        with setting, setting._lock:
            held.set()
            end.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    pid = os.fork()
    if pid == 0:
        fine = values == [5, 1, 5] and setting._lock.acquire(timeout=1)
        os._exit(0 if fine else 1)
    end.set()
    thread.join()
    assert os.waitpid(pid, 0)[1] == 0
    assert values == [5, 1, 5]
