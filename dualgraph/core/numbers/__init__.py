"""Numbers that tell what code does with them, so that one captured run is right for others, too.

A capture runs the user's code once. Where sizes or Python numbers may be others at the next call, the code gets one
of these in their place; it is a number as any, with the value at hand, and knows how it came about.

    symbolic    sizes of a capture: a polynomial beside the value  polynomial (its algebra), symbols (as text)
    live        Python numbers of a capture: floats and ints       formulas (what became of them), live_calls (`math`)
    draws       random numbers of Python's and NumPy's generators: stand-ins that tell a capture
    followed    what both have in common: they notice when code in C asks for the value itself
    guards      what the code learnt of a size, hence what must hold for another
    worked      sizes of a program: they write down what Python did with them, which becomes native code
    sizing      functions that need plain numbers, for symbolic ones
"""
