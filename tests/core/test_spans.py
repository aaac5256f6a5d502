"""Tensors in one memory are found whatever their order, and only those."""

import itertools
import random

import numpy as np

import dualgraph as dg
from dualgraph.core.spans import in_one_memory


def test_the_pairs_are_those_whose_bytes_meet() -> None:
    random.seed(0)
    memory = [np.zeros(40, dtype=np.float32) for _ in range(3)]
    for _ in range(50):
        arrays = []
        for _ in range(random.randrange(8)):
            first, last = sorted(random.choices(range(41), k=2))
            arrays.append(random.choice(memory)[first : last : random.choice([1, 3])])
        tensors = [dg.from_numpy(a) for a in arrays]
        found = {tuple(sorted(pair)) for pair in in_one_memory(tensors)}
        pairs = itertools.combinations(range(len(arrays)), 2)
        assert found == {(i, j) for i, j in pairs if np.may_share_memory(arrays[i], arrays[j])}


def test_views_of_one_array_that_are_written_make_no_program() -> None:
    @dg.compile(wait=True)
    def f(a, b):
        a.add_(b)

    x = dg.arange(6).float()
    f(x[:4], x[2:])
    assert not f.programs and "share memory" in f.explain()
