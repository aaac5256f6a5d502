"""The team's machine code: a call of a program, what its workers do, and the loop that runs its instructions.

Every thread of a call runs the same instructions with its number. A thread's words (`own`) are memory that it alone
writes: counters, addresses, the argument blocks of kernels. So pointers that change from call to call or
from turn to turn of a loop are put in place by each thread for itself, without a meeting.

A kernel is ``kernel(block, scratch, begin, end)``: its arguments are words, it runs turns begin <= i < end.
"""

from __future__ import annotations

from ..ir.values import COLD
from . import apart, roll, shares, waiting

LINE = 64  # bytes of a line of the cache: what one thread writes often lies in a line of its own

# The team's memory, in bytes from its start. A word that threads wait for is followed by the number of sleepers.
BUSY, ARRIVED, GENERATION = 0, LINE, 2 * LINE
JOB = 3 * LINE  # instructions, words, bytes of a thread's words, given objects, number of threads
NAP, EPOCH = JOB + 48, JOB + 56  # EPOCH: how many kernels were claimed so far
ROLL, LEFT = 4 * LINE, 5 * LINE  # see `roll`
# of thread 0; one line for each thread: post, sleepers, seat, and a word of `shares`
MAILBOX = 6 * LINE
SEAT = apart.SEAT  # in each mailbox, where the thread runs

# Instructions: an operation and seven operands, all int64. Places are indexes of a thread's own words.
INSTRUCTION = 8
STOP = 0  # the end
# kernel, block, scratch, extent, grain, chunks: each thread has a share of range(extent), cut in at most so many chunks
# that others may take
SPLIT = 1
# kernel, block, scratch, extent: the calling thread runs all of it, unless that is nothing
ALONE = 2
MEET = 3  # a barrier
OBJECTS = 4  # count, place: own[place + i] = where the elements of array object i lie
ADDRESSES = 5  # count, place: own[place + i] = given word i
WORDS = 6  # count, table of (place, from, offset): own[place] = own[from] + offset
AGAIN = 7  # place, target: own[place] -= 1; on to instruction `target` if that leaves more than 0
UNLESS = 8  # place, target: on to instruction `target` if the byte at own[place] is 0
GO = 9  # target


def emit_runtime(header: int) -> str:
    """LLVM IR of ``call``, ``work`` and some kernels; `header`: where array objects point to their elements.

    It is cold: compiled in a fifth of the time, and an instruction takes 3 ns more.
    """
    pieces = {
        "waiting": waiting.emit_waiting(),
        "roll": roll.emit_roll(),
        "apart": apart.emit_apart(),
        "shares": shares.emit_shares(),
    }
    text = COLD + _TEXT
    for name, piece in pieces.items():
        text = text.replace(f"<{name}>", piece)
    numbers = {
        k: v for k, v in globals().items() if k.isupper() and isinstance(v, int) and k[0] != "_"
    }
    numbers |= {"HEADER": header, "SOON": waiting.SOON, "OFTEN": waiting.OFTEN}
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


_TEXT = """
<waiting>
<roll>
<apart>
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
  ]

split:
  %some = icmp sgt i64 %d, 0
  br i1 %some, label %share, label %step
share:
  %own.c = getelementptr i64, ptr %own, i64 %c
  %scratch = load ptr, ptr %own.c
  %single = icmp eq i64 %threads, 1
  br i1 %single, label %all, label %claim
all:
  call void %kernel(ptr %block, ptr %scratch, i64 0, i64 %d)
  br label %step
claim:
  %pf = getelementptr i64, ptr %at, i64 6
  %chunks = load i64, ptr %pf
  %k.before = load i64, ptr %epoch.at
  %k = add i64 %k.before, 1
  store i64 %k, ptr %epoch.at
  call void @claim(ptr %team, ptr %kernel, ptr %block, ptr %scratch, i64 %d, i64 %e, i64 %chunks,
                   i64 %me, i64 %threads, i64 %k)
  br label %step

alone:
  %first = icmp eq i64 %me, 0
  %any = icmp sgt i64 %d, 0
  %due = and i1 %first, %any
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
  %number = call i32 @open.roll(ptr %team)
  br label %post
post:
  %id = phi i64 [1, %start], [%id.next, %post]
  %id.bytes = mul i64 %id, $LINE
  %box.at = add i64 %id.bytes, $MAILBOX
  %box = getelementptr i8, ptr %team, i64 %box.at
  call void @announce(ptr %box, i32 %number)
  %id.next = add i64 %id, 1
  %id.more = icmp slt i64 %id.next, %threads
  br i1 %id.more, label %post, label %run
run:
  %epoch.at = getelementptr i8, ptr %team, i64 $EPOCH
  %epoch = load i64, ptr %epoch.at
  %reached = call i64 @drive(ptr %team, ptr %code, ptr %words, ptr %given, i64 0, i64 %threads, i64 %epoch)
  call void @close.roll(ptr %team)
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

; What a worker does, forever: wait for post, take part in the call if it is still under way, wait again.
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
  %seen = phi i32 [0, %entry], [%now, %called], [%now, %part]
  %quick = phi i64 [0, %entry], [%quick.now, %called], [%quick.now, %part]
  %since = call i64 @now()
  %often = icmp sge i64 %quick, $OFTEN
  %later = add i64 %since, $SOON
  %until = select i1 %often, i64 %later, i64 0
  call void @wait(ptr %team, ptr %box, i32 %seen, i64 %until)
  br label %called
called:
  %now = load atomic i32, ptr %box acquire, align 4
  %moment = call i64 @now()
  %more = add i64 %quick, 1
  %in.time = icmp slt i64 %moment, %later
  %known = icmp ne i64 %since, 0
  %soon = and i1 %in.time, %known
  %quick.now = select i1 %soon, i64 %more, i64 0
  call void @apart(ptr %team, i64 %me)
  %on = call i1 @enrol(ptr %team, i32 %now)
  br i1 %on, label %part, label %idle
part:
  %code = load ptr, ptr %job
  %words = load ptr, ptr %job1
  %stride = load i64, ptr %job2
  %given = load ptr, ptr %job3
  %threads = load i64, ptr %job4
  %skip = mul i64 %stride, %me
  %own = getelementptr i8, ptr %words, i64 %skip
  %epoch.at = getelementptr i8, ptr %team, i64 $EPOCH
  %epoch = load i64, ptr %epoch.at
  %reached = call i64 @drive(ptr %team, ptr %code, ptr %own, ptr %given, i64 %me, i64 %threads, i64 %epoch)
  call void @leave.roll(ptr %team)
  br label %idle
}
"""
