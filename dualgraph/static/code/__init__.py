"""The user's code, read without running it: its byte code, what that does, and what of it can be set apart.

Its modules:

    bytecode    which names a function mentions, writes and imports   unbound (methods that it reads from classes)
    steps       byte code as single steps                        handlers (where errors go on)
    calls       what a call calls
    flow        where a number that was taken out of a tensor goes
    statements  what does something to Python state, as pieces that can run later
                blocks (ifs, loops, ... as one), reading (what a part does), dataflow (on all ways through a part),
                pieces (a part as a function), cuts (whose tensor the program computes), worth (which are set apart)
    reach       which code runs in captures
    changes     what else may change Python state
"""
