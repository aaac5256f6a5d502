"""Spared: work that only makes calls faster. Its expected refusals are dropped, any other exception is shown."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


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
        shown = type(fault), fault, fault.__traceback__, threading.current_thread()
        threading.excepthook(threading.ExceptHookArgs(shown))
