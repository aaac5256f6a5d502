"""Aside: a thread for jobs that nearly nobody waits for but the end of the interpreter, such as writing a file."""

from __future__ import annotations

from collections.abc import Callable

from ...core.process.workers import Job, Workers

_worker = Workers("dualgraph-aside", 1, thorough=True)


def aside(job: Callable[[], None]) -> Job[None]:
    """Runs a job after those that were given before, beside the caller."""
    return _worker.submit(job)
