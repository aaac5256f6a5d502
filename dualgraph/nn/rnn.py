"""Recurrent layers: simple, gated (GRU) and long short-term memory (LSTM), one scan a layer and direction."""

from __future__ import annotations

import math
from typing import Any

from ..control import scan_pure
from ..core.errors import ArgumentError, ShapeError
from ..eager import Tensor, asarray, concat, empty, stack, where, zeros
from . import functional as F
from . import init
from .module import Module
from .parameter import Parameter
from .utils.packed import PackedSequence, lengths_of, packed, steps_of, unpacked


def _rnn_step(
    gates_x: Tensor, gates_h: Tensor, state: tuple[Tensor, ...], activation: Any
) -> tuple[Tensor, ...]:
    """``h' = activation(W x + b + U h + c)``."""
    return (activation(gates_x + gates_h),)


def _lstm_step(
    gates_x: Tensor, gates_h: Tensor, state: tuple[Tensor, ...], activation: Any
) -> tuple[Tensor, ...]:
    """Input, forget, cell and output gates (Hochreiter and Schmidhuber, 1997)."""
    i, f, g, o = (gates_x + gates_h).chunk(4, -1)
    c = F.sigmoid(f) * state[1] + F.sigmoid(i) * F.tanh(g)
    return F.sigmoid(o) * F.tanh(c), c


def _gru_step(
    gates_x: Tensor, gates_h: Tensor, state: tuple[Tensor, ...], activation: Any
) -> tuple[Tensor, ...]:
    """Reset, update and new gates (Cho et al., 2014), the reset applied after the product."""
    rx, zx, nx = gates_x.chunk(3, -1)
    rh, zh, nh = gates_h.chunk(3, -1)
    z = F.sigmoid(zx + zh)
    n = F.tanh(nx + F.sigmoid(rx + rh) * nh)
    return ((1 - z) * n + z * state[0],)


class RNNBase(Module):
    """What all recurrent layers share; parameters are named ``weight_ih_l0`` and so on, as in PyTorch.

    A `PackedSequence` for an input gives one for its outputs, and the last state of each sequence.

        >>> isinstance(dg.nn.LSTM(2, 3), dg.nn.RNNBase)
        True
    """

    gates = 1
    states = 1
    adds = True  # whether a step only adds what comes from x to what comes from the state
    step: Any

    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int = 1, bias: bool = True, batch_first: bool = False,
        dropout: float = 0.0, bidirectional: bool = False, proj_size: int = 0, device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__()
        if not 0 <= proj_size < hidden_size or (proj_size and self.states == 1):
            raise ArgumentError(
                f"{type(self).__name__}: proj_size is for LSTM, at least 0 and below hidden_size, not {proj_size}"
            )
        if num_layers < 1 or hidden_size < 1:
            raise ArgumentError(
                f"{type(self).__name__}: hidden_size and num_layers must be positive"
            )
        if not 0 <= dropout <= 1:
            raise ArgumentError(
                f"{type(self).__name__}: dropout is a probability in [0, 1], not {dropout}"
            )
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bias = bias
        self.batch_first = batch_first
        self.dropout = dropout
        self.bidirectional = bidirectional
        self.proj_size = proj_size
        for layer in range(num_layers):
            for suffix in self._suffixes(layer):
                self._add_parameters(layer, suffix, device, dtype)
        self.reset_parameters()

    def _suffixes(self, layer: int) -> list[str]:
        return [f"_l{layer}", f"_l{layer}_reverse"][: 2 if self.bidirectional else 1]

    def _add_parameters(self, layer: int, suffix: str, device: Any, dtype: Any) -> None:
        rows = self.gates * self.hidden_size
        size = self._output_size()
        width = size * (2 if self.bidirectional else 1) if layer else self.input_size
        shapes: dict[str, tuple[int, ...]] = {"weight_ih": (rows, width), "weight_hh": (rows, size)}
        if self.bias:
            shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)}
        if self.proj_size:
            shapes |= {"weight_hr": (size, self.hidden_size)}
        for name, shape in shapes.items():
            setattr(self, name + suffix, Parameter(empty(shape, device=device, dtype=dtype)))

    def _output_size(self) -> int:
        return self.proj_size or self.hidden_size

    def reset_parameters(self) -> None:
        """Draws all parameters anew: uniform in ``+-1 / sqrt(hidden_size)``."""
        bound = 1 / math.sqrt(self.hidden_size)
        for param in self.parameters():
            init.uniform_(param, -bound, bound)

    def flatten_parameters(self) -> None:
        """Does nothing: PyTorch packs the weights of GPU kernels anew here."""

    @property
    def all_weights(self) -> list[list[Parameter]]:
        """The parameters of each layer and direction."""
        suffixes = [s for layer in range(self.num_layers) for s in self._suffixes(layer)]
        named = dict(self.named_parameters(recurse=False))
        return [
            [p for name, p in named.items() if name[name.index("_l") :] == suffix]
            for suffix in suffixes
        ]

    def _activation(self, x: Tensor) -> Tensor:
        return F.tanh(x)

    def _numbers(self) -> Any:
        """What else a step depends on."""
        return None

    def _run(
        self, x: Tensor, state: tuple[Tensor, ...], suffix: str, there: Tensor | None
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """One direction of one layer over x (T, N, F): outputs (T, N, H) and the last state.

        Where a step is not `there` (T, N, 1) the state stays as it is.
        """
        w_ih, w_hh = getattr(self, f"weight_ih{suffix}"), getattr(self, f"weight_hh{suffix}")
        b_ih = getattr(self, f"bias_ih{suffix}") if self.bias else None
        b_hh = getattr(self, f"bias_hh{suffix}") if self.bias else None
        if self.adds and self.bias:  # for all steps at once
            b_ih, b_hh = b_ih + b_hh, None
        w_hr = getattr(self, f"weight_hr{suffix}") if self.proj_size else None
        gates = F.linear(x, w_ih, b_ih)

        def cell(held: tuple[Tensor, ...], given: Any) -> tuple[tuple[Tensor, ...], Tensor]:
            gates_x, lives = (given, None) if there is None else given
            new = type(self).step(gates_x, F.linear(held[0], w_hh, b_hh), held, self._activation)
            if w_hr is not None:  # the hidden state is a projection of what the gates let out
                new = (F.linear(new[0], w_hr), *new[1:])
            if lives is not None:
                new = tuple(where(lives, n, h) for n, h in zip(new, held, strict=True))
            return new, new[0]

        weights = (w_hh,) if b_hh is None else (w_hh, b_hh)
        key = type(self).step, type(self)._activation, self._numbers(), there is None
        xs = gates if there is None else (gates, there)
        state, outs = scan_pure(cell, state, xs, suffix.endswith("_reverse"), key, weights)
        return outs, state

    def _start(self, x: Tensor, given: tuple[Tensor, ...] | None) -> tuple[Tensor, ...]:
        first = (self.num_layers * (2 if self.bidirectional else 1), x.shape[1])
        shapes = [(*first, self._output_size()), (*first, self.hidden_size)][: self.states]
        if given is None:
            return tuple(zeros(shape, dtype=x.dtype, device=x.device) for shape in shapes)
        for h, shape in zip(given, shapes, strict=True):
            if h.shape != shape:
                raise ShapeError(
                    f"{type(self).__name__}: a state of shape {h.shape} must have shape {shape}"
                )
        return given

    def _layers(
        self, x: Tensor, given: tuple[Tensor, ...] | None, there: Tensor | None = None
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """All layers over x (T, N, F): outputs (T, N, H) and the last states, stacked."""
        start, last = self._start(x, given), []
        for layer in range(self.num_layers):
            outs = []
            for suffix in self._suffixes(layer):
                k = len(last)
                out, state = self._run(x, tuple(s[k] for s in start), suffix, there)
                outs.append(out)
                last.append(state)
            x = concat(outs, axis=-1) if len(outs) > 1 else outs[0]
            if self.dropout and layer < self.num_layers - 1:
                x = F.dropout(x, self.dropout, self.training)
        return x, tuple(stack(parts, axis=0) for parts in zip(*last, strict=True))

    def _packed(
        self, given: PackedSequence, state: tuple[Tensor, ...] | None
    ) -> tuple[PackedSequence, tuple[Tensor, ...]]:
        """Sequences of unequal length: each state stops with its sequence, backwards it starts there."""
        lengths = lengths_of(given.batch_sizes)
        there = steps_of(lengths, lengths[0])
        mask = None if there.all() else asarray(there[..., None], device=given.data.device)
        order, back = given.sorted_indices, given.unsorted_indices
        if state is not None and order is not None:
            state = tuple(s.index_select(1, order) for s in state)
        x, last = self._layers(unpacked(given.data, there), state, mask)
        if back is not None:
            last = tuple(s.index_select(1, back) for s in last)
        return given._replace(data=packed(x, there)), last

    def _forward(
        self, input: Any, given: tuple[Tensor, ...] | None
    ) -> tuple[Any, tuple[Tensor, ...]]:
        if isinstance(input, PackedSequence):
            return self._packed(input, given)
        if input.ndim not in (2, 3) or input.shape[-1] != self.input_size:
            raise ShapeError(
                f"{type(self).__name__}: input must have 2 or 3 axes, the last of {self.input_size}, "
                f"not shape {input.shape}"
            )
        single = input.ndim == 2
        x = input.reshape(input.shape[0], 1, self.input_size) if single else input
        x = x.transpose(0, 1) if self.batch_first and not single else x
        if single and given is not None:
            given = tuple(h.reshape(h.shape[0], 1, h.shape[1]) for h in given)
        x, states = self._layers(x, given)
        if single:
            return x.reshape(x.shape[0], x.shape[2]), tuple(
                s.reshape(s.shape[0], s.shape[2]) for s in states
            )
        return (x.transpose(0, 1) if self.batch_first else x), states

    def extra_repr(self) -> str:
        parts = [f"{self.input_size}, {self.hidden_size}"]
        if self.proj_size:
            parts.append(f"proj_size={self.proj_size}")
        if self.num_layers != 1:
            parts.append(f"num_layers={self.num_layers}")
        if not self.bias:
            parts.append("bias=False")
        if self.batch_first:
            parts.append("batch_first=True")
        if self.dropout:
            parts.append(f"dropout={self.dropout}")
        if self.bidirectional:
            parts.append("bidirectional=True")
        return ", ".join(parts)


class RNN(RNNBase):
    """``h' = tanh(W x + b + U h + c)``: (T, N, input_size) to outputs (T, N, hidden_size) and the last h.

    >>> rnn = dg.nn.RNN(input_size=3, hidden_size=4)
    >>> out, h = rnn(dg.randn(5, 2, 3))
    >>> (out.shape, h.shape)
    ((5, 2, 4), (1, 2, 4))
    """

    step = staticmethod(_rnn_step)

    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int = 1, nonlinearity: str = "tanh", *args: Any,
        **kwargs: Any,
    ) -> None:  # fmt: skip
        if nonlinearity not in ("tanh", "relu"):
            raise ArgumentError(f"RNN: nonlinearity is 'tanh' or 'relu', not {nonlinearity!r}")
        super().__init__(input_size, hidden_size, num_layers, *args, **kwargs)
        self.nonlinearity = nonlinearity

    def _numbers(self) -> Any:
        return self.nonlinearity

    def _activation(self, x: Tensor) -> Tensor:
        return F.relu(x) if self.nonlinearity == "relu" else F.tanh(x)

    def forward(self, input: Any, hx: Tensor | None = None) -> tuple[Any, Tensor]:
        out, (h,) = self._forward(input, None if hx is None else (hx,))
        return out, h


class GRU(RNNBase):
    """Gated recurrent unit: (T, N, input_size) to outputs (T, N, hidden_size) and the last h.

    >>> gru = dg.nn.GRU(input_size=3, hidden_size=4, batch_first=True)
    >>> out, h = gru(dg.randn(2, 5, 3))
    >>> (out.shape, h.shape)
    ((2, 5, 4), (1, 2, 4))
    """

    gates = 3
    adds = False
    step = staticmethod(_gru_step)

    def forward(self, input: Any, hx: Tensor | None = None) -> tuple[Any, Tensor]:
        out, (h,) = self._forward(input, None if hx is None else (hx,))
        return out, h


class LSTM(RNNBase):
    """Long short-term memory: (T, N, input_size) to outputs (T, N, hidden_size) and the last (h, c).

    >>> lstm = dg.nn.LSTM(input_size=3, hidden_size=4)
    >>> out, (h, c) = lstm(dg.randn(5, 2, 3))
    >>> (out.shape, h.shape, c.shape)
    ((5, 2, 4), (1, 2, 4), (1, 2, 4))
    """

    gates = 4
    states = 2
    step = staticmethod(_lstm_step)

    def forward(
        self, input: Any, hx: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Any, tuple[Tensor, Tensor]]:
        out, (h, c) = self._forward(input, hx)
        return out, (h, c)


class RNNCellBase(Module):
    """What all cells share: one step of a recurrent layer, with PyTorch's names of parameters.

    >>> isinstance(dg.nn.GRUCell(2, 3), dg.nn.RNNCellBase)
    True
    """

    gates = 1

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.bias = bias
        rows, how = self.gates * hidden_size, {"device": device, "dtype": dtype}
        self.weight_ih = Parameter(empty(rows, input_size, **how))
        self.weight_hh = Parameter(empty(rows, hidden_size, **how))
        self.register_parameter("bias_ih", Parameter(empty(rows, **how)) if bias else None)
        self.register_parameter("bias_hh", Parameter(empty(rows, **how)) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws all parameters anew: uniform in ``+-1 / sqrt(hidden_size)``."""
        bound = 1 / math.sqrt(self.hidden_size)
        for param in self.parameters():
            init.uniform_(param, -bound, bound)

    def _gates(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        return F.linear(x, self.weight_ih, self.bias_ih), F.linear(h, self.weight_hh, self.bias_hh)

    def _zeros(self, x: Tensor) -> Tensor:
        return zeros((*x.shape[:-1], self.hidden_size), dtype=x.dtype, device=x.device)

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}" + ("" if self.bias else ", bias=False")


class RNNCell(RNNCellBase):
    """One step of `RNN`.

    >>> cell = dg.nn.RNNCell(3, 4)
    >>> cell(dg.randn(2, 3)).shape
    (2, 4)
    """

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, nonlinearity: str = "tanh", device: Any = None,
        dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(input_size, hidden_size, bias, device, dtype)
        self.nonlinearity = nonlinearity

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        h = self._zeros(input) if hx is None else hx
        return _rnn_step(
            *self._gates(input, h), (h,), F.relu if self.nonlinearity == "relu" else F.tanh
        )[0]


class GRUCell(RNNCellBase):
    """One step of `GRU`.

    >>> cell = dg.nn.GRUCell(3, 4)
    >>> cell(dg.randn(2, 3)).shape
    (2, 4)
    """

    gates = 3

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        h = self._zeros(input) if hx is None else hx
        return _gru_step(*self._gates(input, h), (h,), F.tanh)[0]


class LSTMCell(RNNCellBase):
    """One step of `LSTM`.

    >>> cell = dg.nn.LSTMCell(3, 4)
    >>> h, c = cell(dg.randn(2, 3))
    >>> (h.shape, c.shape)
    ((2, 4), (2, 4))
    """

    gates = 4

    def forward(
        self, input: Tensor, hx: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, Tensor]:
        state = (self._zeros(input),) * 2 if hx is None else hx
        h, c = _lstm_step(*self._gates(input, state[0]), state, F.tanh)
        return h, c
