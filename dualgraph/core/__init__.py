"""Core: what all layers speak of. It knows no op, runs nothing, and imports nothing above itself.

    values      dtypes, devices, types (dtype, shape, device), constant (arrays as parameters), trees (nested arguments)
    ops         prim (one op), kinds (what ops of one structure share), composite (functions that stay one node),
                scalar (the language of elementwise bodies; `expansions` has its exp, log, ...)
    records     node (an op applied: a line of a graph, an entry of the tape), hooks (on such entries),
                sweep (back through nodes), pieces (results put together from boxes of operands)
    interfaces  backend (what runs kernels), context (what holds for this thread), wrap (arrays become tensors)
    numbers     sizes and Python numbers that tell what code does with them; watch: arrays that do
    recipes     what NumPy made of arrays, to be made again of others
    process     threads, forks, signals and memory of the process that all this runs in
    errors      what users see when something is wrong

`spans` tells which tensors share memory, `ulp` how far apart two arrays are.
"""
