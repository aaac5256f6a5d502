"""Passes: functions Graph -> Graph, then Graph -> Schedule and its memory plan. `pipeline` is their list.

Its modules:

    smaller     inline, dce, fold, cse, simplify (by `rules`), trim, twins
    other ops   turn (exchanged axes), parts (of wholes), own (results), unroll (loops), widen (bfloat16)
    groups      fuse, horizontal, epilogue, recompute            regions (cutting groups out), reach (who reaches whom)
    memory      order, rematerialise, inplace, sharing           layout and strided (where elements lie)
    schedule    steps over buffers; memory (their places)        timeline (what is live when), sizes (bytes as text)
    both        effects (what must run), fuel (how many rewrites, to find a wrong one)
"""
