"""The team's machine code: waiting, barriers, and the loop that runs a program's instructions.

Every thread of a call runs the same instructions with its number. A thread's words (`own`) are memory that it alone
writes: counters, addresses, the argument blocks of kernels. So pointers that change from call to call or
from turn to turn of a loop are put in place by each thread for itself, without a meeting.

A kernel is ``kernel(block, scratch, begin, end)``: its arguments are words, it runs turns begin <= i < end.

Waiting spins for some microseconds and then sleeps in the kernel (a futex; elsewhere short naps), so that a
thread that waits long costs others nothing.
"""

from __future__ import annotations

import platform
import sys

from . import apart, shares

LINE = 64  # bytes of a line of the cache: what one thread writes often lies in a line of its own
SPIN = 1500  # looks at a word before going to sleep, some 10 to 20 microseconds

# The team's memory, in bytes from its start. A word that threads wait for is followed by the number of sleepers.
BUSY, ARRIVED, GENERATION = 0, LINE, 2 * LINE
JOB = 3 * LINE  # instructions, words, bytes of a thread's words, given objects, number of threads
SEQUENCE, NAP, EPOCH = JOB + 40, JOB + 48, JOB + 56  # EPOCH: how many kernels were claimed so far
# of thread 0; one line for each thread: post, sleepers, seat, and a word of `shares`
MAILBOX = 4 * LINE
SEAT = apart.SEAT  # in each mailbox, where the thread runs

# Instructions: an operation and seven operands, all int64. Places are indexes of a thread's own words.
INSTRUCTION = 8
STOP = 0  # the end
SPLIT = 1  # kernel, block, scratch, extent, grain: all threads run a share of range(extent)
# kernel, block, scratch, extent, thread: one thread runs all of it, unless that is nothing
ALONE = 2
MEET = 3  # a barrier
OBJECTS = 4  # count, place: own[place + i] = where the elements of array object i lie
ADDRESSES = 5  # count, place: own[place + i] = given word i
WORDS = 6  # count, table of (place, from, offset): own[place] = own[from] + offset
AGAIN = 7  # place, target: own[place] -= 1; on to instruction `target` if that leaves more than 0
UNLESS = 8  # place, target: on to instruction `target` if the byte at own[place] is 0
GO = 9  # target
CLAIM = 10  # like SPLIT, but threads that are done with their shares take chunks of the others'


def emit_runtime(header: int, spin: int = SPIN) -> str:
    """LLVM IR of ``call``, ``work`` and some kernels; `header`: where array objects point to their elements."""
    values = {
        "pause": _pause(),
        "sleep": _SLEEP_FUTEX if _futex() else _SLEEP_NAP,
        "moment": "1" if sys.platform == "win32" else "50",  # milliseconds, microseconds
        "wake": _WAKE_FUTEX if _futex() else "",
        "declare": "declare i64 @syscall(i64, ...)" if _futex() else "",
        "wait_number": str(_futex()),
        "apart": apart.emit_apart(),
        "shares": shares.emit_shares(),
    }
    text = _TEXT
    for name, piece in values.items():
        text = text.replace(f"<{name}>", piece.replace("<number>", str(_futex())))
    numbers = {
        k: v for k, v in globals().items() if k.isupper() and isinstance(v, int) and k[0] != "_"
    }
    numbers |= {"HEADER": header, "SPIN": spin}
    for name in sorted(numbers, key=len, reverse=True):
        text = text.replace(f"${name}", str(numbers[name]))
    return text


def emit_passing(count: int, scratch: bool) -> str:
    """LLVM IR of ``passing``: it calls word 0 with the next `count` words, its scratch memory if asked to, begin and
    end."""
    lines = ["define void @passing(ptr %w, ptr %scratch, i64 %begin, i64 %end) nounwind {"]
    for i in range(count + 1):
        lines.append(f"  %p{i} = getelementptr ptr, ptr %w, i64 {i}")
        lines.append(f"  %v{i} = load ptr, ptr %p{i}")
    given = ", ".join(f"ptr %v{i}" for i in range(1, count + 1))
    given += ", ptr %scratch" if scratch else ""
    lines.append(f"  call void %v0({given}, i64 %begin, i64 %end)")
    return "\n".join([*lines, "  ret void", "}"])


def _futex() -> int:
    """The number of the futex system call, 0 where there is none to use."""
    if not sys.platform.startswith("linux") or sys.maxsize < 2**32:
        return 0
    return {"x86_64": 202, "amd64": 202, "aarch64": 98, "riscv64": 98}.get(
        platform.machine().lower(), 0
    )


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

_TEXT = """
declare void @llvm.x86.sse2.pause()
<declare>
<apart>

; Returns when the word is no longer `old`.
define internal void @wait(ptr %team, ptr %word, i32 %old) nounwind {
entry:
  br label %spin
spin:
  %i = phi i64 [0, %entry], [%next, %again]
  %now = load atomic i32, ptr %word acquire, align 4
  %same = icmp eq i32 %now, %old
  br i1 %same, label %again, label %out
again:
  <pause>
  %next = add i64 %i, 1
  %more = icmp slt i64 %next, $SPIN
  br i1 %more, label %spin, label %rest
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

; Sets a word that others wait for.
define internal void @announce(ptr %word, i32 %value) nounwind {
  %old = atomicrmw xchg ptr %word, i32 %value seq_cst
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

; A barrier of so many threads.
define internal void @meet(ptr %team, i64 %threads) nounwind {
entry:
  %alone = icmp eq i64 %threads, 1
  br i1 %alone, label %out, label %arrive
arrive:
  %arrived = getelementptr i8, ptr %team, i64 $ARRIVED
  %generation = getelementptr i8, ptr %team, i64 $GENERATION
  %old = load atomic i32, ptr %generation acquire, align 4
  %before = atomicrmw add ptr %arrived, i32 1 seq_cst
  %all = trunc i64 %threads to i32
  %here = add i32 %before, 1
  %last = icmp eq i32 %here, %all
  br i1 %last, label %release, label %stay
release:
  store atomic i32 0, ptr %arrived seq_cst, align 4
  %new = add i32 %old, 1
  call void @announce(ptr %generation, i32 %new)
  br label %out
stay:
  call void @wait(ptr %team, ptr %generation, i32 %old)
  br label %out
out:
  ret void
}

<shares>
; Runs instructions until STOP as thread `me` of `threads`; gives the epoch of the last kernel claimed.
define internal i64 @drive(ptr %team, ptr %code, ptr %own, ptr %given, i64 %me, i64 %threads, i64 %epoch) nounwind {
entry:
  %epoch.at = alloca i64
  store i64 %epoch, ptr %epoch.at
  br label %turn
turn:
  %pc = phi i64 [0, %entry], [%following, %step], [%target, %jump]
  %row = mul i64 %pc, $INSTRUCTION
  %at = getelementptr i64, ptr %code, i64 %row
  %op = load i64, ptr %at
  %pa = getelementptr i64, ptr %at, i64 1
  %a = load i64, ptr %pa
  %pb = getelementptr i64, ptr %at, i64 2
  %b = load i64, ptr %pb
  %pc3 = getelementptr i64, ptr %at, i64 3
  %c = load i64, ptr %pc3
  %pd = getelementptr i64, ptr %at, i64 4
  %d = load i64, ptr %pd
  %pe = getelementptr i64, ptr %at, i64 5
  %e = load i64, ptr %pe
  %kernel = inttoptr i64 %a to ptr
  %block = getelementptr i64, ptr %own, i64 %b
  %own.a = getelementptr i64, ptr %own, i64 %a
  switch i64 %op, label %stop [
    i64 $SPLIT, label %split
    i64 $ALONE, label %alone
    i64 $MEET, label %meet
    i64 $OBJECTS, label %objects
    i64 $ADDRESSES, label %addresses
    i64 $WORDS, label %words
    i64 $AGAIN, label %again
    i64 $UNLESS, label %unless
    i64 $GO, label %go
    i64 $CLAIM, label %claim
  ]

split:
  %begin = call i64 @cut(i64 %d, i64 %e, i64 %me, i64 %threads)
  %me1 = add i64 %me, 1
  %end = call i64 @cut(i64 %d, i64 %e, i64 %me1, i64 %threads)
  %some = icmp slt i64 %begin, %end
  br i1 %some, label %share, label %step
share:
  %own.c = getelementptr i64, ptr %own, i64 %c
  %scratch = load ptr, ptr %own.c
  call void %kernel(ptr %block, ptr %scratch, i64 %begin, i64 %end)
  br label %step

claim:
  %single = icmp eq i64 %threads, 1
  br i1 %single, label %split, label %claims
claims:
  %k.before = load i64, ptr %epoch.at
  %k = add i64 %k.before, 1
  store i64 %k, ptr %epoch.at
  %own.c3 = getelementptr i64, ptr %own, i64 %c
  %scratch3 = load ptr, ptr %own.c3
  call void @claim(ptr %team, ptr %kernel, ptr %block, ptr %scratch3, i64 %d, i64 %e, i64 %me, i64 %threads, i64 %k)
  br label %step

alone:
  %who = srem i64 %e, %threads
  %mine = icmp eq i64 %who, %me
  %any = icmp sgt i64 %d, 0
  %due = and i1 %mine, %any
  br i1 %due, label %whole, label %step
whole:
  %own.c2 = getelementptr i64, ptr %own, i64 %c
  %scratch2 = load ptr, ptr %own.c2
  call void %kernel(ptr %block, ptr %scratch2, i64 0, i64 %d)
  br label %step

meet:
  call void @meet(ptr %team, i64 %threads)
  br label %step

objects:
  %o.i = phi i64 [0, %turn], [%o.next, %object]
  %o.more = icmp slt i64 %o.i, %a
  br i1 %o.more, label %object, label %step
object:
  %o.at = getelementptr ptr, ptr %given, i64 %o.i
  %o = load ptr, ptr %o.at
  %o.field = getelementptr i8, ptr %o, i64 $HEADER
  %o.data = load i64, ptr %o.field
  %o.place = getelementptr i64, ptr %block, i64 %o.i
  store i64 %o.data, ptr %o.place
  %o.next = add i64 %o.i, 1
  br label %objects

addresses:
  %g.i = phi i64 [0, %turn], [%g.next, %address]
  %g.more = icmp slt i64 %g.i, %a
  br i1 %g.more, label %address, label %step
address:
  %g.at = getelementptr i64, ptr %given, i64 %g.i
  %g = load i64, ptr %g.at
  %g.place = getelementptr i64, ptr %block, i64 %g.i
  store i64 %g, ptr %g.place
  %g.next = add i64 %g.i, 1
  br label %addresses

words:
  %table = inttoptr i64 %b to ptr
  br label %list
list:
  %w.i = phi i64 [0, %words], [%w.next, %entry.of]
  %w.more = icmp slt i64 %w.i, %a
  br i1 %w.more, label %entry.of, label %step
entry.of:
  %w.row = mul i64 %w.i, 3
  %w.at = getelementptr i64, ptr %table, i64 %w.row
  %w.to = load i64, ptr %w.at
  %w.at1 = getelementptr i64, ptr %w.at, i64 1
  %w.from = load i64, ptr %w.at1
  %w.at2 = getelementptr i64, ptr %w.at, i64 2
  %w.add = load i64, ptr %w.at2
  %w.source = getelementptr i64, ptr %own, i64 %w.from
  %w = load i64, ptr %w.source
  %w.sum = add i64 %w, %w.add
  %w.target = getelementptr i64, ptr %own, i64 %w.to
  store i64 %w.sum, ptr %w.target
  %w.next = add i64 %w.i, 1
  br label %list

again:
  %count = load i64, ptr %own.a
  %left = sub i64 %count, 1
  store i64 %left, ptr %own.a
  %repeat = icmp sgt i64 %left, 0
  br i1 %repeat, label %jump, label %step

unless:
  %flag.at = load ptr, ptr %own.a
  %flag = load i8, ptr %flag.at
  %no = icmp eq i8 %flag, 0
  br i1 %no, label %jump, label %step

go:
  br label %jump

jump:
  %target = phi i64 [%b, %again], [%b, %unless], [%a, %go]
  br label %turn

step:
  %following = add i64 %pc, 1
  br label %turn
stop:
  %epoch.last = load i64, ptr %epoch.at
  ret i64 %epoch.last
}

; Runs a program by so many threads, this one among them, or by this one alone if the others are busy.
define void @call(ptr %team, ptr %code, ptr %words, i64 %stride, ptr %given, i64 %threads) nounwind {
entry:
  %several = icmp sgt i64 %threads, 1
  br i1 %several, label %ask, label %alone
ask:
  %busy = getelementptr i8, ptr %team, i64 $BUSY
  %was = atomicrmw xchg ptr %busy, i32 1 seq_cst
  %free = icmp eq i32 %was, 0
  br i1 %free, label %start, label %alone
alone:
  %nothing = call i64 @drive(ptr %team, ptr %code, ptr %words, ptr %given, i64 0, i64 1, i64 0)
  ret void
start:
  call void @seat(ptr %team, i64 0)
  %job = getelementptr i8, ptr %team, i64 $JOB
  store ptr %code, ptr %job
  %job1 = getelementptr i8, ptr %job, i64 8
  store ptr %words, ptr %job1
  %job2 = getelementptr i8, ptr %job, i64 16
  store i64 %stride, ptr %job2
  %job3 = getelementptr i8, ptr %job, i64 24
  store ptr %given, ptr %job3
  %job4 = getelementptr i8, ptr %job, i64 32
  store i64 %threads, ptr %job4
  %sequence.at = getelementptr i8, ptr %team, i64 $SEQUENCE
  %before = load i32, ptr %sequence.at
  %sequence = add i32 %before, 1
  store i32 %sequence, ptr %sequence.at
  br label %post
post:
  %id = phi i64 [1, %start], [%id.next, %post]
  %id.bytes = mul i64 %id, $LINE
  %box.at = add i64 %id.bytes, $MAILBOX
  %box = getelementptr i8, ptr %team, i64 %box.at
  call void @announce(ptr %box, i32 %sequence)
  %id.next = add i64 %id, 1
  %id.more = icmp slt i64 %id.next, %threads
  br i1 %id.more, label %post, label %run
run:
  %epoch.at = getelementptr i8, ptr %team, i64 $EPOCH
  %epoch = load i64, ptr %epoch.at
  %reached = call i64 @drive(ptr %team, ptr %code, ptr %words, ptr %given, i64 0, i64 %threads, i64 %epoch)
  call void @meet(ptr %team, i64 %threads)
  store i64 %reached, ptr %epoch.at
  store atomic i32 0, ptr %busy seq_cst, align 4
  ret void
}

; A stage of a contraction: words are its function, its record, and the pointers it works on.
define void @stage(ptr %words, ptr %scratch, i64 %begin, i64 %end) nounwind {
  %function = load ptr, ptr %words
  %record.at = getelementptr ptr, ptr %words, i64 1
  %record = load ptr, ptr %record.at
  %pointers = getelementptr ptr, ptr %words, i64 2
  call void %function(ptr %record, ptr %pointers, ptr %scratch, i64 %begin, i64 %end)
  ret void
}

; A nest that wants sizes: words are its function, the address of the sizes, and its buffers.
define void @sized(ptr %words, ptr %scratch, i64 %begin, i64 %end) nounwind {
  %function = load ptr, ptr %words
  %sizes.at = getelementptr ptr, ptr %words, i64 1
  %sizes = load ptr, ptr %sizes.at
  %buffers = getelementptr ptr, ptr %words, i64 2
  call void %function(ptr %buffers, ptr %sizes, i64 %begin, i64 %end)
  ret void
}

; Joins the threads that work through a contraction's stages: words are the function, its table, the number of
; stages, their state, the pointers, and what offers the processor to others.
define void @join(ptr %words, ptr %scratch, i64 %begin, i64 %end) nounwind {
  %function = load ptr, ptr %words
  %at1 = getelementptr ptr, ptr %words, i64 1
  %table = load ptr, ptr %at1
  %at2 = getelementptr i64, ptr %words, i64 2
  %count = load i64, ptr %at2
  %at3 = getelementptr ptr, ptr %words, i64 3
  %state = load ptr, ptr %at3
  %at4 = getelementptr ptr, ptr %words, i64 4
  %pointers = load ptr, ptr %at4
  %at5 = getelementptr ptr, ptr %words, i64 5
  %rest = load ptr, ptr %at5
  call void %function(ptr %table, i64 %count, ptr %state, ptr %pointers, ptr %scratch, ptr %rest)
  ret void
}

; Puts word 1 where word 0 says.
define void @store(ptr %words, ptr %scratch, i64 %begin, i64 %end) nounwind {
  %place = load ptr, ptr %words
  %value.at = getelementptr i64, ptr %words, i64 1
  %value = load i64, ptr %value.at
  store i64 %value, ptr %place
  ret void
}

; What a worker does, forever: wait for post, take part in the call, wait again.
define void @work(ptr %team, i64 %me) nounwind {
entry:
  %box.bytes = mul i64 %me, $LINE
  %box.at = add i64 %box.bytes, $MAILBOX
  %box = getelementptr i8, ptr %team, i64 %box.at
  %job = getelementptr i8, ptr %team, i64 $JOB
  %job1 = getelementptr i8, ptr %job, i64 8
  %job2 = getelementptr i8, ptr %job, i64 16
  %job3 = getelementptr i8, ptr %job, i64 24
  %job4 = getelementptr i8, ptr %job, i64 32
  br label %idle
idle:
  %seen = phi i32 [0, %entry], [%now, %idle]
  call void @wait(ptr %team, ptr %box, i32 %seen)
  %now = load atomic i32, ptr %box acquire, align 4
  %code = load ptr, ptr %job
  %words = load ptr, ptr %job1
  %stride = load i64, ptr %job2
  %given = load ptr, ptr %job3
  %threads = load i64, ptr %job4
  %skip = mul i64 %stride, %me
  %own = getelementptr i8, ptr %words, i64 %skip
  %epoch.at = getelementptr i8, ptr %team, i64 $EPOCH
  %epoch = load i64, ptr %epoch.at
  call void @apart(ptr %team, i64 %me)
  %reached = call i64 @drive(ptr %team, ptr %code, ptr %own, ptr %given, i64 %me, i64 %threads, i64 %epoch)
  call void @meet(ptr %team, i64 %threads)
  br label %idle
}
"""
