"""Backends: what runs kernels, one op or a whole program at a time.

Its modules:

    array       ops over NumPy or CuPy (`cuda`)                  scalar_numpy (scalar bodies), ufuncs, words
    executor    a program's steps over one arena                 actions (a step), bodies (of loops), hooks (for passes)
    resizing    one native program for all sizes                 refilled (steps of Python), ground (common memory)
    budgets     programs of at most so many bytes
    flags       what scripts set in ``torch.backends``
    stopgap     NumPy, while code is not there yet               scalar_single (numbers without axes)
    kept        programs for the next process                    turned (operands by columns)
    native      machine code through LLVM                        quicken and eager_loops (when eager mode gets some)
"""

from .flags import cudnn, mps

__all__ = ["cudnn", "mps"]
