"""Spared: work that only makes calls faster. Its expected refusals are dropped, any other exception is shown."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import DualgraphError

# Whether failures that calls survive are shown
SHOWN = os.environ.get("DUALGRAPH_FAULTS") == "show"


@contextmanager
def spared(*refusals: type[Exception]) -> Iterator[None]:
    """Drops an exception of what is done inside. One that is no refusal is shown as that of a thread is: on
    ``sys.stderr``, unless `threading.excepthook` is another; tests fail by it.

    >>> with spared(KeyError):
    ...     {}["of no use"]
    """
    try:
        yield
    except refusals:
        pass
    except Exception as fault:
        _show(fault)


def survived(problem: Exception) -> Exception:
    """A failure to make something that calls do without, as ``explain()`` says: given back, to be kept. With
    ``DUALGRAPH_FAULTS=show`` one that is no DualgraphError is shown, too, as it is a fault of this package.

    >>> survived(DualgraphError("no memory for it"))
    DualgraphError('no memory for it')
    """
    if SHOWN and not isinstance(problem, DualgraphError):
        _show(problem)
    return problem


def _show(fault: Exception) -> None:
    shown = type(fault), fault, fault.__traceback__, threading.current_thread()
    threading.excepthook(threading.ExceptHookArgs(shown))
