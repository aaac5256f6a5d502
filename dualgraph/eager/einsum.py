"""Einsum: sums of products written as index labels, carried out as permutes, sums and matrix products."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from operator import index
from string import ascii_lowercase, ascii_uppercase
from typing import Any

from ..core.composite import together
from ..core.errors import ArgumentError, ShapeError, describe
from ..ops.arithmetic import multiply
from ..ops.movement import permute, reshape
from ..ops.reduce import broadcast_to, reduce_sum
from . import functions as fn
from .methods.parts import diagonal
from .operands import as_operand
from .tensor import Tensor

Labels = list[str]


class Term:
    """An operand with a label for each of its axes; no label stands twice."""

    def __init__(self, tensor: Tensor, labels: Labels) -> None:
        self.tensor = tensor
        self.labels = labels

    def size(self, label: str) -> int:
        """The size of a label's axis."""
        return self.tensor.shape[self.labels.index(label)]


@together
def einsum(equation: Any, *operands: Any) -> Tensor:
    """Sums of products by labels: ``einsum("ij,jk->ik", x, y)`` is ``x @ y``.

    Labels that stand twice in one operand take its diagonal, those not in the result are summed;
    ``...`` stands for axes that broadcast. Operands are contracted from left to right. Labels may also be numbers
    below 52, in lists after each operand and at the end, as in ``einsum(x, [0, 1], y, [1, 2], [0, 2])``.

    >>> x = dg.ones(2, 3)
    >>> dg.einsum("ij,kj->ik", x, x).tolist()
    [[3.0, 3.0], [3.0, 3.0]]
    """
    if not isinstance(equation, str):
        equation, operands = _spelt((equation, *operands))
    given = (
        operands[0] if len(operands) == 1 and isinstance(operands[0], (list, tuple)) else operands
    )
    tensors = [as_operand(x) for x in given]
    inputs, output = _parse(equation, tensors)
    terms = [_distinct(t, labels) for t, labels in zip(tensors, inputs, strict=True)]
    sizes = _sizes(equation, terms)
    terms = [_widened(term, sizes) for term in terms]
    for i, term in enumerate(terms):
        elsewhere = {label for other in terms[:i] + terms[i + 1 :] for label in other.labels}
        terms[i] = _summed(term, [x for x in term.labels if x not in elsewhere and x not in output])
    out = terms[0]
    for i, term in enumerate(terms[1:], 1):
        later = {label for other in terms[i + 1 :] for label in other.labels}
        out = _contract(out, term, later.union(output))
    out = _summed(out, [x for x in out.labels if x not in output])
    return _ordered(out, output).tensor


def _spelt(parts: tuple[Any, ...]) -> tuple[str, tuple[Any, ...]]:
    """Operands with their labels as lists of numbers, as an equation and operands."""

    def text(labels: Any) -> str:
        if not isinstance(labels, (list, tuple)):
            problem = "operands take turns with lists of labels where there is no equation"
            raise ArgumentError(describe("einsum", type(labels).__name__, problem))
        return "".join(
            "..." if x is Ellipsis else (ascii_uppercase + ascii_lowercase)[index(x)]
            for x in labels
        )

    count = len(parts) // 2 * 2
    left = ",".join(map(text, parts[1:count:2]))
    right = f"->{text(parts[-1])}" if len(parts) > count else ""
    return left + right, parts[:count:2]


# --- the equation --------------------------------------------------------------------------------


def _parse(equation: str, tensors: Sequence[Tensor]) -> tuple[list[Labels], Labels]:
    """Labels of each operand and of the result; an ellipsis becomes the labels ``.0, .1, ...`` from the right."""
    left, arrow, right = equation.replace(" ", "").partition("->")
    texts = left.split(",")
    types = ", ".join(str(t.tensor_type) for t in tensors)
    if len(texts) != len(tensors):
        raise ArgumentError(
            describe(
                "einsum",
                types,
                f"{equation!r} names {len(texts)} operands, {len(tensors)} are given",
            )
        )
    inputs = [
        _labels(text, t.ndim, equation, types) for text, t in zip(texts, tensors, strict=True)
    ]
    seen = [label for labels in inputs for label in labels]
    dots = sorted({x for x in seen if x[0] == "."}, key=lambda x: -int(x[1:]))
    if arrow:
        output = _labels(right, len(dots) + len(right.replace("...", "")), equation, types)
    else:
        output = [*dots, *sorted(x for x in set(seen) if seen.count(x) == 1 and x[0] != ".")]
    unknown = [x for x in output if x not in seen]
    if unknown or len(set(output)) != len(output):
        raise ArgumentError(
            describe(
                "einsum",
                types,
                f"the result of {equation!r} needs each label once, from the operands",
            )
        )
    return inputs, output


def _labels(text: str, ndim: int, equation: str, types: str) -> Labels:
    """The labels of one operand's axes."""
    head, dots, tail = text.partition("...")
    if not all(c.isalpha() for c in head + tail):
        raise ArgumentError(
            describe("einsum", types, f"{equation!r} is not an equation: labels are letters")
        )
    rest = ndim - len(head) - len(tail)
    if rest < 0 or (rest and not dots):
        raise ShapeError(
            describe(
                "einsum", types, f"{text!r} in {equation!r} does not fit an operand of {ndim} axes"
            )
        )
    return [*head, *(f".{i}" for i in reversed(range(rest))), *tail]


def _sizes(equation: str, terms: Sequence[Term]) -> dict[str, int]:
    """The size of each label; operands of size 1 broadcast."""
    sizes: dict[str, int] = {}
    for term in terms:
        for label, d in zip(term.labels, term.tensor.shape, strict=True):
            known = sizes.get(label, 1)
            if 1 not in (known, d) and known != d:
                types = ", ".join(str(t.tensor.tensor_type) for t in terms)
                raise ShapeError(
                    describe(
                        "einsum",
                        types,
                        f"label {label!r} of {equation!r} has sizes {known} and {d}",
                    )
                )
            sizes[label] = d if known == 1 else known
    return sizes


# --- terms ---------------------------------------------------------------------------------------


def _distinct(x: Tensor, labels: Labels) -> Term:
    """Labels that stand twice replaced by diagonals."""
    labels = list(labels)
    for label in dict.fromkeys(labels):
        while labels.count(label) > 1:
            a = labels.index(label)
            b = labels.index(label, a + 1)
            if x.shape[a] != x.shape[b]:
                raise ShapeError(
                    describe(
                        "einsum",
                        str(x.tensor_type),
                        f"label {label!r} has sizes {x.shape[a]} and {x.shape[b]}",
                    )
                )
            x = diagonal(x, 0, a, b)
            labels = [v for i, v in enumerate(labels) if i not in (a, b)] + [label]
    return Term(x, labels)


def _widened(term: Term, sizes: dict[str, int]) -> Term:
    """Axes of length 1 broadcast to the size that their label has elsewhere."""
    shape = tuple(sizes[x] for x in term.labels)
    return (
        term
        if shape == term.tensor.shape
        else Term(broadcast_to(term.tensor, shape=shape), term.labels)
    )


def _summed(term: Term, labels: Sequence[str]) -> Term:
    if not labels:
        return term
    axes = tuple(sorted(term.labels.index(x) for x in labels))
    return Term(
        reduce_sum(term.tensor, axes=axes, keepdims=False),
        [x for x in term.labels if x not in labels],
    )


def _ordered(term: Term, labels: Labels) -> Term:
    if labels == term.labels:
        return term
    return Term(permute(term.tensor, axes=tuple(term.labels.index(x) for x in labels)), labels)


def _contract(x: Term, y: Term, wanted: set[str]) -> Term:
    """Two terms as one: a batched matrix product over the labels that nobody wants any more.

    Axes of the batch stay axes of their own, and only neighbours are made one: so operands are read where they lie.
    """
    shared = [a for a in x.labels if a in y.labels]
    batch = [a for a in shared if a in wanted]
    inner = [a for a in shared if a not in wanted]
    rows = [a for a in x.labels if a not in shared]
    columns = [a for a in y.labels if a not in shared]
    lead = tuple(x.size(a) for a in batch)

    def shaped(term: Term, *groups: Labels) -> Tensor:
        moved = _ordered(term, [*batch, *(a for g in groups for a in g)]).tensor
        return _reshaped(moved, (*lead, *(prod(term.size(a) for a in g) for g in groups)))

    left, right = shaped(x, rows, inner), shaped(y, inner, columns)
    product = fn.matmul(left, right) if inner else multiply(left, right)
    shape = (*lead, *(x.size(a) for a in rows), *(y.size(a) for a in columns))
    return Term(_reshaped(product, shape), [*batch, *rows, *columns])


def _reshaped(x: Tensor, shape: tuple[int, ...]) -> Tensor:
    return x if x.shape == shape else reshape(x, shape=shape)
