"""Shares: each thread has one of a kernel's range, which is claimed whole, or chunk by chunk if the kernel is large.

A thread goes through its own share first, where its caches are warm, then helps others with theirs. So one that
is held up - by a busy neighbour on its processor, or since it has yet to wake - holds up nobody for long.

A share's word (in its thread's mailbox) names a kernel by its epoch, a number that grows with each kernel that is
claimed, and counts the chunks taken. One that names an earlier kernel says that none is taken, one that names a
later kernel that all are: so nobody has to set it back.
"""

from __future__ import annotations

TAKEN = 16  # bytes from a thread's mailbox to the word of its share
COUNT_BITS = 8  # of that word, for the number of chunks
CHUNKS = 8  # of the share of a large kernel, at most


def emit_shares() -> str:
    """LLVM IR of ``cut``, where a share begins, and ``claim``, for the runtime's text, which has its numbers."""
    numbers = {"taken": TAKEN, "bits": COUNT_BITS}
    text = _TEXT
    for name, number in numbers.items():
        text = text.replace(f"<{name}>", str(number))
    return text


_TEXT = """
; Where share `me` of range(extent), cut at multiples of grain, begins.
define internal i64 @cut(i64 %extent, i64 %grain, i64 %me, i64 %threads) nounwind {
  %more = add i64 %extent, %grain
  %up = sub i64 %more, 1
  %units = sdiv i64 %up, %grain
  %product = mul i64 %units, %me
  %first = sdiv i64 %product, %threads
  %at = mul i64 %first, %grain
  %within = icmp slt i64 %at, %extent
  %cut = select i1 %within, i64 %at, i64 %extent
  ret i64 %cut
}

; Runs chunks of a kernel's shares (at most so many a share) as long as there are any: those of share `me`, then those
; of the others.
define internal void @claim(ptr %team, ptr %kernel, ptr %block, ptr %scratch, i64 %extent, i64 %grain,
                            i64 %chunks, i64 %me, i64 %threads, i64 %epoch) nounwind {
entry:
  br label %share
share:
  %n = phi i64 [0, %entry], [%n.next, %next]
  %sum = add i64 %me, %n
  %who = srem i64 %sum, %threads
  %who1 = add i64 %who, 1
  %begin = call i64 @cut(i64 %extent, i64 %grain, i64 %who, i64 %threads)
  %end = call i64 @cut(i64 %extent, i64 %grain, i64 %who1, i64 %threads)
  %length = sub i64 %end, %begin
  %pace = mul i64 %grain, %chunks
  %up = add i64 %length, %pace
  %up1 = sub i64 %up, 1
  %paces = sdiv i64 %up1, %pace
  %chunk = mul i64 %paces, %grain
  %line = mul i64 %who, $LINE
  %box = add i64 %line, $MAILBOX
  %place = add i64 %box, <taken>
  %word = getelementptr i8, ptr %team, i64 %place
  br label %look
look:
  %old = load atomic i64, ptr %word monotonic, align 8
  %its = ashr i64 %old, <bits>
  %ahead = sub i64 %its, %epoch
  %later = icmp sgt i64 %ahead, 0
  br i1 %later, label %next, label %find
find:
  %same = icmp eq i64 %ahead, 0
  %mark = shl i64 %epoch, <bits>
  %now = select i1 %same, i64 %old, i64 %mark
  %count = sub i64 %now, %mark
  %before = mul i64 %count, %chunk
  %first = add i64 %begin, %before
  %some = icmp slt i64 %first, %end
  br i1 %some, label %take, label %next
take:
  %new = add i64 %now, 1
  %pair = cmpxchg ptr %word, i64 %old, i64 %new monotonic monotonic
  %mine = extractvalue { i64, i1 } %pair, 1
  br i1 %mine, label %run, label %look
run:
  %stop = add i64 %first, %chunk
  %short = icmp slt i64 %stop, %end
  %last = select i1 %short, i64 %stop, i64 %end
  call void %kernel(ptr %block, ptr %scratch, i64 %first, i64 %last)
  br label %look
next:
  %n.next = add i64 %n, 1
  %more = icmp slt i64 %n.next, %threads
  br i1 %more, label %share, label %out
out:
  ret void
}
"""
