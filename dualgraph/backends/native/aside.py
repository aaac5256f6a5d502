"""Aside: a thread for jobs that nobody waits for, such as writing a file."""

from __future__ import annotations

from collections.abc import Callable

from ...core.process.workers import Workers

_worker = Workers("dualgraph-aside", 1)


def aside(job: Callable[[], None]) -> None:
    """Runs a job after those that were given before, beside the caller."""
    _worker.submit(job)
