"""Sight: how a watch sees frames begin, run instruction by instruction, and end.

From Python 3.12 on through ``sys.monitoring``, which no other tracer disturbs; before, through ``sys.settrace``.
Neither costs anything while nothing is watched.
"""

from __future__ import annotations

import sys
import threading
from collections import Counter
from collections.abc import Collection, Sequence
from types import CodeType, FrameType
from typing import Any, Protocol

from ..core.process import forks
from ..static.outside import ENGINE, closed

TOOLS = (4, 3, 2, 1, 0, 5)  # of sys.monitoring; the first two are nobody's by convention


class View(Protocol):
    """What looks on while one frame runs; `whole`: at each of its instructions."""

    whole: bool

    def step(self, frame: FrameType, at: int) -> None:
        """The instruction at the offset `at` is about to run."""

    def raised(self, frame: FrameType) -> None:
        """An error is raised in the frame, or comes through it."""

    def returned(self, frame: FrameType) -> None:
        """The frame ends."""


class Watcher(Protocol):
    """Who wants to see frames: those of `codes` always, those of other code of the user's where `begins` says so."""

    @property
    def codes(self) -> Collection[CodeType]: ...

    def begins(self, frame: FrameType) -> View | None: ...


# --- sys.settrace --------------------------------------------------------------------------------


class _Traces:
    """The trace functions of the watchers of all threads, each with the one from before."""

    def __init__(self) -> None:
        self._of: dict[Watcher, tuple[Any, Any]] = {}

    def begin(self, watcher: Watcher) -> str:
        """Lets `watcher` see what this thread runs from now on; why it will not ("": it will)."""
        before = sys.gettrace()
        own = _tracer(watcher, before)
        self._of[watcher] = own, before
        sys.settrace(own)
        return ""

    def end(self, watcher: Watcher) -> str:
        """Lets it see no more, if it does; why it has not seen all ("": it has)."""
        if watcher not in self._of:
            return ""
        own, before = self._of[watcher]
        taken = sys.gettrace() is not own  # by a debugger, say: statements went unseen
        sys.settrace(before)
        del self._of[watcher]
        return "another trace function took over while it was watched" if taken else ""


def _tracer(watcher: Watcher, before: Any) -> Any:
    """What the interpreter calls for each new frame; `before` is what it called until now."""

    def enter(frame: FrameType, event: str, arg: Any) -> Any:
        inner = before(frame, event, arg) if before is not None else None
        view = watcher.begins(frame)
        if view is None:
            return inner
        frame.f_trace_opcodes = view.whole
        return _local(view, inner)

    return enter


def _local(view: View, inner: Any) -> Any:
    """What the interpreter calls as a frame runs: for the view, and for the trace function from before (`inner`)."""

    def local(frame: FrameType, event: str, arg: Any) -> Any:
        nonlocal inner
        if event == "opcode":
            view.step(frame, frame.f_lasti)
            return local
        if event == "exception":
            view.raised(frame)
        elif event == "return":
            view.returned(frame)
        if inner is not None:
            inner = inner(frame, event, arg)
        return local

    return local


# --- sys.monitoring ------------------------------------------------------------------------------


def _never_looked_at(frame: FrameType) -> bool:
    """Whether no watcher ever wants to see such a frame: the event does not come back once it is switched off."""
    module = str(frame.f_globals.get("__name__", "__main__"))
    return closed(module) or f"{module}.".startswith(f"{ENGINE}.")


class _Here:
    """The watchers of one thread, and the frames that they look at."""

    def __init__(self) -> None:
        self.watchers: list[Watcher] = []
        self.views: dict[FrameType, list[View]] = {}


class _Monitor:
    """The one tool of `sys.monitoring` that all watchers share."""

    def __init__(self) -> None:
        self._lock = forks.lock()
        self._threads: dict[int, _Here] = {}  # those that watch
        self._codes: Counter[CodeType] = Counter()  # how many look at them
        self._tool: int | None = None

    def begin(self, watcher: Watcher) -> str:
        """As `_Traces.begin`; takes a tool of `sys.monitoring` if there is none yet."""
        watch = sys.monitoring  # type: ignore[attr-defined,unused-ignore]
        with self._lock:
            if self._tool is None:
                free = [i for i in TOOLS if watch.get_tool(i) is None]
                if not free:
                    return "all tools of sys.monitoring are taken"
                self._tool = free[0]
                watch.use_tool_id(self._tool, "dualgraph")
                for event, seen in (
                    ("PY_START", self._started), ("INSTRUCTION", self._step), ("PY_RETURN", self._returned),
                    ("RAISE", self._raised), ("PY_UNWIND", self._unwound),
                ):  # fmt: skip
                    watch.register_callback(self._tool, getattr(watch.events, event), seen)
            here = self._threads.setdefault(threading.get_ident(), _Here())
            here.watchers.append(watcher)
            e = watch.events
            watch.set_events(self._tool, e.PY_START | e.RAISE | e.PY_UNWIND)
            for code in watcher.codes:
                self._look(code)
        return ""

    def _look(self, code: CodeType) -> None:
        """Sees each instruction of some code from now on, until nothing is watched."""
        watch = sys.monitoring  # type: ignore[attr-defined,unused-ignore]
        self._codes[code] += 1
        if self._codes[code] == 1:
            watch.set_local_events(
                self._tool, code, watch.events.INSTRUCTION | watch.events.PY_RETURN
            )

    def end(self, watcher: Watcher) -> str:
        """As `_Traces.end`; after the last watcher nothing is watched."""
        watch = sys.monitoring  # type: ignore[attr-defined,unused-ignore]
        me = threading.get_ident()
        with self._lock:
            here = self._threads.get(me, _Here())
            if watcher in here.watchers:
                here.watchers.remove(watcher)
            if not here.watchers:
                self._threads.pop(me, None)
            if not self._threads and self._tool is not None:
                watch.set_events(self._tool, 0)
                for code in self._codes:
                    watch.set_local_events(self._tool, code, 0)
                self._codes.clear()
        return ""

    # Callbacks come from all threads, also from those that watch nothing.

    def _started(self, code: CodeType, at: int) -> Any:
        """A frame begins: which of the watchers want to see it."""
        here = self._threads.get(threading.get_ident())
        frame = sys._getframe(1)
        found = [w.begins(frame) for w in here.watchers] if here else ()
        views = [v for v in found if v is not None]
        if here and views:
            here.views[frame] = views
            if any(v.whole for v in views) and code not in self._codes:
                with self._lock:
                    self._look(code)
        elif _never_looked_at(frame):
            return sys.monitoring.DISABLE  # type: ignore[attr-defined,unused-ignore]
        return None

    def _views(self, frame: FrameType) -> Sequence[View]:
        here = self._threads.get(threading.get_ident())
        return here.views.get(frame, ()) if here else ()

    def _step(self, code: CodeType, at: int) -> None:
        frame = sys._getframe(1)
        for view in self._views(frame):
            view.step(frame, at)

    def _raised(self, code: CodeType, at: int, error: BaseException) -> None:
        frame = sys._getframe(1)
        for view in self._views(frame):
            view.raised(frame)

    def _returned(self, code: CodeType, at: int, value: Any) -> None:
        self._left(sys._getframe(1))

    def _unwound(self, code: CodeType, at: int, error: BaseException) -> None:
        self._left(sys._getframe(1))

    def _left(self, frame: FrameType) -> None:
        here = self._threads.get(threading.get_ident())
        for view in here.views.pop(frame, ()) if here else ():
            view.returned(frame)


sight: Any = _Monitor() if hasattr(sys, "monitoring") else _Traces()
