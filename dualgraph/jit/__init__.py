"""Just-in-time compilation: a function is captured as it runs, its graph optimised, and later calls run the program.

A compiled call goes down this list; what stands on the right is asked on the way.

    compile     which program serves the call, and what if none does   keys, entries, hot, pay
    growing     how programs come to be, and when there is none        rehearsal, refusals
    tracing     one eager run of the function, seen by a tracer        arguments, returned, rebound, refusals, resume
    program     the captured path, optimised                           stages, bare, outright, dump
    conditions  what it assumes of a call and of its memory            slots, rebound, along
    outcome     what a call leaves behind                              results, replay, backward

One program serves more than what it was captured with where sizes are symbolic (`sizes` decides, `declared` has what
users said, `dynamic` holds such programs, `rehearsal` makes them ready, `turning` runs those whose numbers change)
and where Python numbers are inputs (`promotion` decides, `promoted` says how; `taking`: of numbers that calls take out
of tensors); `alike` tells whether two captures did the same, `literals` puts numbers in the place of such inputs for
that, `left_behind` sees to sizes that the code has stored. `drawing` puts stand-ins where code finds generators of
random numbers; `working` takes down what NumPy makes of arrays; `cached` calls of functions whose results Python keeps.
"""
