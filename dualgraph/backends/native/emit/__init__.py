"""The emitter: a loop IR kernel as LLVM IR text with explicit vectors.

Its modules:

    llvm        the kernel, nest by nest: begin here             nest (one as a function: threads' ranges, loops)
    base        numbers, vectors and loops                       parts (types, how values lie, accesses of a block)
    memory      how pointers move, how lanes load and store      fold (reductions in the canonical order)
    scalar      the scalar language                              saturate (floats to integers), wide (words of AVX-512),
                                                                 outlined (long code, once a module)
"""
