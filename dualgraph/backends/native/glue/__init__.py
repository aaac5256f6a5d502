"""Glue: functions against the C API of CPython and NumPy, compiled in this process.

What runs for every small op or call - looking at a few objects, finding a plan, calling a kernel - costs
microseconds in Python and tens of nanoseconds in C. Such a function is written in the glue language (`language`: the
syntax of Python, the meaning of C), translated to LLVM IR, and put before Python as a builtin or a method. The Python
code that does the same stays: it is the definition, and runs where there is no glue.

How to write one. The module of glue functions (it is read, never run; `c`, `o` and `n` satisfy linters)::

    from .capi import c, f64, i64, load_ptr, n, o, ptr, store_ptr

    def with_mark(self: ptr, args: ptr, count: i64) -> ptr:
        if count != 1:
            c.Py_IncRef(o.NONE)
            return o.NONE
        made = c.PyTuple_New(2)
        if made is None:
            return None
        x = load_ptr(args, 0)
        c.Py_IncRef(x)
        store_ptr(made, n.ITEMS, x)
        c.Py_IncRef(o.MARK)
        store_ptr(made, n.ITEMS + 8, o.MARK)
        return made

and how it is installed::

    library = Library(
        ["package.module"], entries=["with_mark"],
        objects={"MARK": mark, "NONE": None}, numbers={"ITEMS": tuple.__basicsize__},
    )
    with_mark = library.builtin("with_mark", "with_mark")         # METH_FASTCALL: (self, args, count)
    Owner.mark = library.method(Owner, "mark", "with_mark")       # the same, self is the owner

The rules are those of C extensions: a function gives an owned reference, or null with an error set; what it
borrows is not kept across calls that may run Python code unless it is increfed; every path drops what it owns.
"""

from .capi import GlueError, present
from .layout import HEADER, TYPE, LayoutError, array_offsets, pointer_at, slot_offset
from .library import FASTCALL, KEYWORDS, NOARGS, ONE, Library, possible

__all__ = [
    "FASTCALL",
    "HEADER",
    "KEYWORDS",
    "NOARGS",
    "ONE",
    "TYPE",
    "GlueError",
    "LayoutError",
    "Library",
    "array_offsets",
    "pointer_at",
    "possible",
    "present",
    "slot_offset",
]
