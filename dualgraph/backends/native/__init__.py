"""Native CPU code: fused groups become loop IR, loop IR becomes machine code, in process.

Its modules:

    api         the door: is there any, and `entry`              claims (kernels in the place of an op's own)
    lower       a fused body as a kernel                         expressions, index_maps, axes, outputs, pieced, weights
    loop_ir     loops, loads, scalar ops, stores                 schedule (what where), canonical (equal code)
    emit, ir    the loop IR as LLVM IR; LLVM IR as text
    jit         text to machine code                             generators (LLVM), loader (without), host (which CPU),
                                                                 awaited (who waits for it)
    kernel      machine code with a foreign call before it       addresses (where arrays begin)
    disk_cache  machine code for the next process                version (of what makes it), aside (written by a thread)
    segments    runs of a program's steps in one call            frames (where values lie), writing (a step), loops
    team        threads that run a program together              threads (that share a range), thread_memory (their own)
    contract, attention, movers, waves                           kernels of their own kinds
    eager       single ops of any length                         beside (of given shapes), quick (their calls), glue
    guard       compiled calls without a frame of Python
"""
