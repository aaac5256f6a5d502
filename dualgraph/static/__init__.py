"""The static half: graphs, their text, their interpreter and their views; captures, which make them.

Its modules:

    graph       ordered SSA of nodes                region (a graph as one node), constants, control (conditions, loops)
    text        one node a line                     parser (back again), symbol_text (sizes in it), naming, views
    interpreter what a graph means                  prepared (for bodies that run often), filling (symbolic sizes)
    capture     an eager run, written down          scopes (composites), twins and retold (calls that ran as one)
    trace       what a capture found out            symbolic (for other sizes), lengths (of `len(x)`)
    footprint   the Python state that code reads    members, ways, holders (of what), outside (where not), checks
    code        the user's code, read without running it
"""

from . import constants, graph, interpreter, parser, region, text, views

__all__ = ["constants", "graph", "interpreter", "parser", "region", "text", "views"]
