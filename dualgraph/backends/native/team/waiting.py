"""Waiting: a thread looks at a word of memory for a while, then sleeps in the kernel until another one sets it.

A look costs others nothing for some microseconds; beyond that a thread sleeps (a futex; elsewhere short naps). To
be woken takes some 20 microseconds, more than many a call lasts. So a worker that was called soon after its
last calls stays awake a little longer: each time a call comes later than that, it sleeps at once for the next two.
"""

from __future__ import annotations

import ctypes
import platform
import sys
import time

SPIN = 1500  # looks at a word before going to sleep, some 10 to 20 microseconds
SOON = 150_000  # nanoseconds after a call within which the next one comes soon; as long a worker stays awake then
OFTEN = 2  # calls that came soon, one after the other, from which the next one is expected to


def emit_waiting() -> str:
    """LLVM IR of ``wait``, ``announce`` and ``now``, for the runtime's text, which has its numbers."""
    futex, clock = _futex(), _clock()
    pieces = {
        "pause": _pause(),
        "sleep": _SLEEP_FUTEX if futex else _SLEEP_NAP,
        "moment": "1" if sys.platform == "win32" else "50",  # milliseconds, microseconds
        "wake": _WAKE_FUTEX if futex else "",
        "declare": "declare i64 @syscall(i64, ...)" if futex else "",
        "now": _NOW if clock is not None else _NEVER,
        "number": str(futex),
        "clock": str(clock),
        "spin": str(SPIN),
    }
    text = _TEXT
    for name, piece in pieces.items():
        text = text.replace(f"<{name}>", piece)
    return text


def _futex() -> int:
    """The number of the futex system call, 0 where there is none to use."""
    if not sys.platform.startswith("linux") or sys.maxsize < 2**32:
        return 0
    return {"x86_64": 202, "amd64": 202, "aarch64": 98, "riscv64": 98}.get(
        platform.machine().lower(), 0
    )


def _clock() -> int | None:
    """The number of a clock that only goes forward, if there is one whose records are two words."""
    if sys.platform == "win32" or sys.maxsize < 2**32:
        return None
    known = hasattr(time, "CLOCK_MONOTONIC") and hasattr(ctypes.CDLL(None), "clock_gettime")
    return time.CLOCK_MONOTONIC if known else None


def _pause() -> str:
    """What tells the processor that a loop only waits."""
    if platform.machine().lower() in ("x86_64", "amd64", "i386", "i686"):
        return "call void @llvm.x86.sse2.pause()"
    return "fence seq_cst"


_SLEEP_FUTEX = (  # FUTEX_WAIT_PRIVATE: returns at once unless the word still has the old value
    "call i64 (i64, ...) @syscall(i64 <number>, ptr %word, i32 128, i32 %old, ptr null, ptr null, i32 0)"
)
_WAKE_FUTEX = (  # FUTEX_WAKE_PRIVATE
    "call i64 (i64, ...) @syscall(i64 <number>, ptr %word, i32 129, i32 2147483647, ptr null, ptr null, i32 0)"
)
_SLEEP_NAP = """%nap.at = getelementptr i8, ptr %team, i64 $NAP
  %nap = load ptr, ptr %nap.at
  call void %nap(i32 <moment>)"""

_NOW = """
declare i32 @clock_gettime(i32, ptr)

; Nanoseconds since some moment.
define internal i64 @now() nounwind {
  %time = alloca [2 x i64], align 8
  %failed = call i32 @clock_gettime(i32 <clock>, ptr %time)
  %seconds = load i64, ptr %time
  %rest.at = getelementptr i64, ptr %time, i64 1
  %rest = load i64, ptr %rest.at
  %whole = mul i64 %seconds, 1000000000
  %sum = add i64 %whole, %rest
  ret i64 %sum
}
"""
_NEVER = "define internal i64 @now() nounwind { ret i64 0 }"

_TEXT = """
declare void @llvm.x86.sse2.pause()
<declare>
<now>

; Returns when the word is no longer `old`; does not sleep before the moment `until`.
define internal void @wait(ptr %team, ptr %word, i32 %old, i64 %until) nounwind {
entry:
  %patient = icmp ne i64 %until, 0
  br label %spin
spin:
  %i = phi i64 [0, %entry], [%next, %again], [0, %late]
  %now = load atomic i32, ptr %word acquire, align 4
  %same = icmp eq i32 %now, %old
  br i1 %same, label %again, label %out
again:
  <pause>
  %next = add i64 %i, 1
  %more = icmp slt i64 %next, <spin>
  br i1 %more, label %spin, label %tired
tired:
  br i1 %patient, label %late, label %rest
late:
  %moment = call i64 @now()
  %early = icmp slt i64 %moment, %until
  br i1 %early, label %spin, label %rest
rest:
  %sleepers = getelementptr i8, ptr %word, i64 4
  %x = atomicrmw add ptr %sleepers, i32 1 seq_cst
  br label %look
look:
  %then = load atomic i32, ptr %word seq_cst, align 4
  %still = icmp eq i32 %then, %old
  br i1 %still, label %doze, label %wake
doze:
  <sleep>
  br label %look
wake:
  %y = atomicrmw sub ptr %sleepers, i32 1 seq_cst
  br label %out
out:
  ret void
}

; Wakes those who sleep at a word that was set just now.
define internal void @rouse(ptr %word) nounwind {
  %sleepers = getelementptr i8, ptr %word, i64 4
  %n = load atomic i32, ptr %sleepers seq_cst, align 4
  %some = icmp sgt i32 %n, 0
  br i1 %some, label %wake, label %out
wake:
  <wake>
  br label %out
out:
  ret void
}

; Sets a word that others wait for.
define internal void @announce(ptr %word, i32 %value) nounwind {
  %old = atomicrmw xchg ptr %word, i32 %value seq_cst
  call void @rouse(ptr %word)
  ret void
}
"""
