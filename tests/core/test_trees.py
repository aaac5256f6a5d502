"""Trees: nested containers are flattened and rebuilt, and nothing is kept alive."""

from __future__ import annotations

import gc
import weakref

import dualgraph as dg
from dualgraph.core.trees import flatten, unflatten


def test_what_was_flattened_is_free_without_a_search_for_cycles() -> None:
    gc.collect()
    gc.disable()
    try:
        t = dg.ones(2)
        leaves, tree = flatten({"a": (t, [1, t])})
        assert unflatten(tree, leaves)["a"][1][1] is t
        ref = weakref.ref(t)
        del t, leaves
        assert ref() is None
    finally:
        gc.enable()
