"""Waves: steps that repeat a stencil over the rows of large arrays, several of them in one pass over memory.

Each step reads a few rows around the one that it writes. So while some rows of a step are still in the caches, the
next step can do the rows behind them, and so on: `steps` steps, each `shift` rows behind the one before (time skewing;
McCalpin and Wonnacott, "Time skewing: a value-based approach to optimizing for memory locality", 1999). For
threads the rows are cut into parts. A part does what its own rows allow, less at both ends with each step; when all
have met, what is missing around each border between parts is done (Grosser et al., "Split tiling for GPUs", 2013):

    step 3        /‾‾‾‾\\      /‾‾‾‾\\          first the parts, each by one thread, in waves
    step 2      /        \\ x /        \\        then the triangles (x) between them
    step 1    /            V            \\

Kernels, and so the bits, are those of the steps one after the other: only ranges of their turns are in another order.

- `rows` says how the turns of a kernel lie on the rows of arrays,
- `chains` finds steps that can go together, and puts them into a native program,
- `code` is the function that runs them.
"""

from .chains import Chains

__all__ = ["Chains"]
