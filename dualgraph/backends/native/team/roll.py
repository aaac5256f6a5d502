"""Roll: which threads take part in a call. One that has not come when all work is taken is left out.

The caller opens the roll under a new number and posts that to the workers. Each that comes puts itself down, if the
roll is still open under the number that it was sent. At the end the caller closes the roll and waits until those
who are on it have left; one that comes later - a neighbour held it up, or it had yet to wake - finds it closed or
under another number, touches nothing of the call's memory, and waits for its next post.

Kernels are claimed (see `shares`), so a call without barriers is done when its kernels are. At a barrier all threads
meet, since each then has to know what is next.
"""

from __future__ import annotations

# In the lower half of the roll's word, which counts the workers on it; the upper half has its number
CLOSED = 2**31


def emit_roll() -> str:
    """LLVM IR of ``open.roll``, ``enrol``, ``leave.roll``, ``close.roll`` and ``meet``, for the runtime's text, which
    has its numbers."""
    return _TEXT.replace("<closed>", str(CLOSED))


_TEXT = """
; A new roll, once what the call is about is in place; gives its number.
define internal i32 @open.roll(ptr %team) nounwind {
  %left = getelementptr i8, ptr %team, i64 $LEFT
  store atomic i32 0, ptr %left monotonic, align 4
  %roll = getelementptr i8, ptr %team, i64 $ROLL
  %old = load atomic i64, ptr %roll monotonic, align 8
  %before = lshr i64 %old, 32
  %number = add i64 %before, 1
  %new = shl i64 %number, 32
  store atomic i64 %new, ptr %roll seq_cst, align 8
  %short = trunc i64 %number to i32
  ret i32 %short
}

; Puts a worker on the roll, if that has this number and is open.
define internal i1 @enrol(ptr %team, i32 %number) nounwind {
entry:
  %roll = getelementptr i8, ptr %team, i64 $ROLL
  br label %look
look:
  %old = load atomic i64, ptr %roll acquire, align 8
  %high = lshr i64 %old, 32
  %its = trunc i64 %high to i32
  %same = icmp eq i32 %its, %number
  %flag = and i64 %old, <closed>
  %open = icmp eq i64 %flag, 0
  %fits = and i1 %same, %open
  br i1 %fits, label %try, label %out
try:
  %new = add i64 %old, 1
  %pair = cmpxchg ptr %roll, i64 %old, i64 %new seq_cst seq_cst
  %done = extractvalue { i64, i1 } %pair, 1
  br i1 %done, label %out, label %look
out:
  %on = phi i1 [false, %look], [true, %try]
  ret i1 %on
}

; A worker has done its part; it touches nothing of the call's memory from here on.
define internal void @leave.roll(ptr %team) nounwind {
  %left = getelementptr i8, ptr %team, i64 $LEFT
  %x = atomicrmw add ptr %left, i32 1 seq_cst
  call void @rouse(ptr %left)
  ret void
}

; Closes the roll; returns when all who are on it have left.
define internal void @close.roll(ptr %team) nounwind {
entry:
  %roll = getelementptr i8, ptr %team, i64 $ROLL
  %left = getelementptr i8, ptr %team, i64 $LEFT
  %word = atomicrmw or ptr %roll, i64 <closed> seq_cst
  %count = trunc i64 %word to i32
  br label %look
look:
  %now = load atomic i32, ptr %left acquire, align 4
  %all = icmp eq i32 %now, %count
  br i1 %all, label %out, label %stay
stay:
  call void @wait(ptr %team, ptr %left, i32 %now, i64 0)
  br label %look
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
  call void @wait(ptr %team, ptr %generation, i32 %old, i64 0)
  br label %out
out:
  ret void
}
"""
