"""Adaptive softmax: classes in clusters, the rare ones through fewer features (Grave et al., 2017)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from ..core.errors import ArgumentError, ShapeError
from ..eager import Tensor, concat
from ..eager.functions import argmax, clip
from ..ops.arithmetic import where
from ..ops.composites import mean
from ..ops.indexing import take_along
from . import functional as F
from .container import ModuleList, Sequential
from .linear import Linear
from .module import Module


class Scores(NamedTuple):
    """The log probability of each target, and minus their mean."""

    output: Tensor
    loss: Tensor


class AdaptiveLogSoftmaxWithLoss(Module):
    """Log probabilities of `n_classes` sorted by how frequent they are, those from ``cutoffs[i]`` on in cluster i + 1.

    The head scores the most frequent classes and the clusters; cluster i scores its own from
    ``in_features / div_value**(i + 1)`` features. All clusters are scored for each row, so that one program serves
    all targets.

        >>> layer = dg.nn.AdaptiveLogSoftmaxWithLoss(4, 10, cutoffs=[3, 6])
        >>> layer(dg.ones(2, 4), dg.tensor([0, 9])).output.shape
        (2,)
        >>> layer.log_prob(dg.ones(2, 4)).exp().sum(1).allclose(dg.ones(2))
        True
    """

    def __init__(
        self, in_features: int, n_classes: int, cutoffs: Sequence[int], div_value: float = 4.0, head_bias: bool = False,
        device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__()
        edges = [int(c) for c in cutoffs]
        if not edges or edges != sorted(set(edges)) or edges[0] < 1 or edges[-1] > n_classes - 1:
            problem = f"cutoffs rise strictly from 1 to {n_classes - 1}, not {list(cutoffs)}"
            raise ArgumentError(f"AdaptiveLogSoftmaxWithLoss: {problem}")
        how = {"device": device, "dtype": dtype}
        self.in_features, self.n_classes = in_features, n_classes
        self.cutoffs = [*edges, n_classes]
        self.div_value, self.head_bias = div_value, head_bias
        self.shortlist_size, self.n_clusters = edges[0], len(edges)
        self.head_size = self.shortlist_size + self.n_clusters
        self.head = Linear(in_features, self.head_size, bias=head_bias, **how)
        self.tail = ModuleList()
        for i, (low, high) in enumerate(pairwise(self.cutoffs)):
            hidden = int(in_features // div_value ** (i + 1))
            first = Linear(in_features, hidden, bias=False, **how)
            self.tail.append(Sequential(first, Linear(hidden, high - low, bias=False, **how)))

    def reset_parameters(self) -> None:
        """Draws all weights anew."""
        self.head.reset_parameters()
        for first, second in self.tail:
            first.reset_parameters()
            second.reset_parameters()

    def forward(self, input: Tensor, target: Tensor) -> Scores:
        """Scores of (N, in_features) for (N,) targets, or of one row for one target."""
        if target.ndim != input.ndim - 1 or input.ndim > 2 or input.shape[:-1] != target.shape:
            problem = f"input {input.shape} and target {target.shape} are no rows with a class each"
            raise ShapeError(f"AdaptiveLogSoftmaxWithLoss: {problem}")
        at = target.unsqueeze(-1)
        head = F.log_softmax(self.head(input), -1)
        out = _chosen(head, at)
        for i, (low, high) in enumerate(pairwise(self.cutoffs)):
            rare = F.log_softmax(self.tail[i](input), -1)
            inside = head[..., self.shortlist_size + i].unsqueeze(-1) + _chosen(rare, at - low)
            out = where((at >= low) & (at < high), inside, out)
        out = where((at >= 0) & (at < self.n_classes), out, float("nan")).squeeze(-1)
        return Scores(out, -mean(out))

    def log_prob(self, input: Tensor) -> Tensor:
        """Log probabilities of all classes: (N, n_classes)."""
        head = F.log_softmax(self.head(input), -1)
        parts = [head[..., : self.shortlist_size]]
        for i, tail in enumerate(self.tail):
            own = head[..., self.shortlist_size + i].unsqueeze(-1)
            parts.append(F.log_softmax(tail(input), -1) + own)
        return concat(parts, axis=-1)

    def predict(self, input: Tensor) -> Tensor:
        """The class of the highest probability in each row."""
        return argmax(self.log_prob(input), axis=-1)


def _chosen(scores: Tensor, at: Tensor) -> Tensor:
    """The score at each place, where there is one."""
    place = clip(at, 0, scores.shape[-1] - 1)
    return take_along(scores, place, axis=scores.ndim - 1)  # type: ignore[no-any-return]
