"""Team: threads that run one native program together, each with its own number, and meet at barriers.

Its modules:

    program     instructions, and the words of each thread       spots (arrays at the call), room (where ops write)
    team        the worker threads of this process               runtime (their machine code)
    shares      how they split a kernel's range                  apart (each on a processor of its own)
    roll        which of them take part, and how they meet       waiting (awake first, asleep then)
"""
