"""Apart: threads of one call run on processors of their own.

Linux sometimes wakes a thread on the processor of the one that woke it although others are free, and lets
both share it for some 50 milliseconds; a call that takes one then takes three, as each waits for the other.
So a thread that begins its part of a call looks whether one of a lower number is where it is. If so it goes
elsewhere: it rules those processors out, which moves it at once, and then allows itself again whatever it was
allowed before.
"""

from __future__ import annotations

import ctypes
import sys
from functools import cache

NEEDED = ("sched_getcpu", "sched_getaffinity", "sched_setaffinity")
CPUS = 1024  # processors that a set of them has room for
SEAT = 8  # bytes from a thread's mailbox to the number of its processor


@cache
def can_move() -> bool:
    """Whether threads can say on which processors they run."""
    if not sys.platform.startswith("linux"):
        return False
    library = ctypes.CDLL(None)
    return all(hasattr(library, name) for name in NEEDED)


def emit_apart() -> str:
    """LLVM IR of ``seat(team, me)``, which notes where a thread runs, and ``apart(team, me)``, which then sees that
    no thread of a lower number runs there. It is put in the runtime's text, which has its numbers."""
    return (_TEXT if can_move() else _NOTHING).replace("<words>", str(CPUS // 64))


_NOTHING = """
define internal void @seat(ptr %team, i64 %me) nounwind { ret void }
define internal void @apart(ptr %team, i64 %me) nounwind { ret void }
"""

_TEXT = """
declare i32 @sched_getcpu()
declare i32 @sched_getaffinity(i32, i64, ptr)
declare i32 @sched_setaffinity(i32, i64, ptr)

; Where thread i says on which processor it runs.
define internal ptr @seat.of(ptr %team, i64 %i) nounwind {
  %line = mul i64 %i, $LINE
  %box = add i64 %line, $MAILBOX
  %place = add i64 %box, $SEAT
  %at = getelementptr i8, ptr %team, i64 %place
  ret ptr %at
}

define internal void @seat(ptr %team, i64 %me) nounwind {
  %cpu = call i32 @sched_getcpu()
  %at = call ptr @seat.of(ptr %team, i64 %me)
  store atomic i32 %cpu, ptr %at monotonic, align 4
  ret void
}

define internal void @apart(ptr %team, i64 %me) nounwind {
entry:
  call void @seat(ptr %team, i64 %me)
  %at = call ptr @seat.of(ptr %team, i64 %me)
  %cpu = load atomic i32, ptr %at monotonic, align 4
  br label %look
look:
  %i = phi i64 [0, %entry], [%next, %other]
  %more = icmp slt i64 %i, %me
  br i1 %more, label %other, label %out
other:
  %its.at = call ptr @seat.of(ptr %team, i64 %i)
  %its = load atomic i32, ptr %its.at monotonic, align 4
  %next = add i64 %i, 1
  %same = icmp eq i32 %its, %cpu
  br i1 %same, label %move, label %look
move:
  call void @leave(ptr %team, i64 %me)
  call void @seat(ptr %team, i64 %me)
  br label %out
out:
  ret void
}

; Goes where no thread of a lower number is, if there is such a processor.
define internal void @leave(ptr %team, i64 %me) nounwind noinline {
entry:
  %all = alloca [<words> x i64], align 8
  %fewer = alloca [<words> x i64], align 8
  %bytes = mul i64 <words>, 8
  %failed = call i32 @sched_getaffinity(i32 0, i64 %bytes, ptr %all)
  %known = icmp sge i32 %failed, 0
  br i1 %known, label %copy, label %out
copy:
  %w = phi i64 [0, %entry], [%w.next, %copy]
  %from = getelementptr i64, ptr %all, i64 %w
  %to = getelementptr i64, ptr %fewer, i64 %w
  %bits = load i64, ptr %from
  store i64 %bits, ptr %to
  %w.next = add i64 %w, 1
  %w.more = icmp slt i64 %w.next, <words>
  br i1 %w.more, label %copy, label %rule
rule:
  %i = phi i64 [0, %copy], [%next, %ruled]
  %its.at = call ptr @seat.of(ptr %team, i64 %i)
  %its = load atomic i32, ptr %its.at monotonic, align 4
  %cpu = zext i32 %its to i64
  %word = lshr i64 %cpu, 6
  %fits = icmp ult i64 %word, <words>
  br i1 %fits, label %clear, label %ruled
clear:
  %place = getelementptr i64, ptr %fewer, i64 %word
  %within = and i64 %cpu, 63
  %bit = shl i64 1, %within
  %rest = xor i64 %bit, -1
  %old = load i64, ptr %place
  %new = and i64 %old, %rest
  store i64 %new, ptr %place
  br label %ruled
ruled:
  %next = add i64 %i, 1
  %more = icmp slt i64 %next, %me
  br i1 %more, label %rule, label %count
count:
  %c = phi i64 [0, %ruled], [%c.next, %count]
  %sum = phi i64 [0, %ruled], [%sum.next, %count]
  %c.at = getelementptr i64, ptr %fewer, i64 %c
  %left = load i64, ptr %c.at
  %sum.next = or i64 %sum, %left
  %c.next = add i64 %c, 1
  %c.more = icmp slt i64 %c.next, <words>
  br i1 %c.more, label %count, label %decide
decide:
  %some = icmp ne i64 %sum.next, 0
  br i1 %some, label %go, label %out
go:
  %x = call i32 @sched_setaffinity(i32 0, i64 %bytes, ptr %fewer)
  %y = call i32 @sched_setaffinity(i32 0, i64 %bytes, ptr %all)
  br label %out
out:
  ret void
}
"""
