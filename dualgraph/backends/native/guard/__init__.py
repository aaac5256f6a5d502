"""The native guard: whether a call is like one before it, found out without a frame of Python.

Its modules; those with `words` or `table` in their name write memory in Python that the others, which are glue (see
`native.glue`), read:

    calls       a call of a compiled function: begin here        install (puts it in place)
    given       arguments                                        given_words
    rows        Python state that the program relies on          table (with the whole record of a call), words
    places      where tensors are taken from and put             outcome (what a call leaves behind), outcome_words
"""
