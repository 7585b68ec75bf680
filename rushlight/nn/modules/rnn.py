"""Recurrent networks: RNN, LSTM, GRU.

The input's share of all gates is one matrix product over all time steps; the recurrence then runs
step by step in one operator (`ops/recurrent.py`).
"""

from __future__ import annotations

import math
import warnings
from typing import Any

import rushlight
from rushlight.nn import functional as F
from rushlight.nn import init
from rushlight.nn.parameter import Parameter
from rushlight.nn.utils.rnn import PackedSequence
from rushlight.ops import recurrent
from rushlight.trace.tensor import Tensor

from .module import Module

__all__ = ["GRU", "LSTM", "RNN", "RNNBase"]

_GATES = {"RNN_TANH": 1, "RNN_RELU": 1, "GRU": 3, "LSTM": 4}


class RNNBase(Module):
    """Weights, checks and the loop over layers and directions that all three share.

    Parameters of layer k: `weight_ih_l{k}` (gates * hidden, input), `weight_hh_l{k}` (gates *
    hidden, hidden), `bias_ih_l{k}`, `bias_hh_l{k}`; `_reverse` at the end for the backward
    direction; all start uniform in +-1/sqrt(hidden_size). dropout: of the outputs of all layers but
    the last, in training.

    >>> [name for name, _ in nn.GRU(3, 5, bidirectional=True, bias=False).named_parameters()]
    ['weight_ih_l0', 'weight_hh_l0', 'weight_ih_l0_reverse', 'weight_hh_l0_reverse']
    """

    __constants__ = [
        "mode", "input_size", "hidden_size", "num_layers", "bias", "batch_first", "dropout",
        "bidirectional", "proj_size",
    ]  # fmt: skip

    def __init__(
        self,
        mode: str,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        _check_options(dropout, num_layers, proj_size, hidden_size)
        for name, value, kind in (
            ("input_size", input_size, int),
            ("hidden_size", hidden_size, int),
            ("bias", bias, bool),
            ("batch_first", batch_first, bool),
        ):
            if not isinstance(value, kind):
                raise TypeError(
                    f"{name} should be of type {kind.__name__}, got: {type(value).__name__}"
                )
        for name, size in (
            ("input_size", input_size),
            ("hidden_size", hidden_size),
            ("num_layers", num_layers),
        ):
            if size <= 0:
                raise ValueError(f"{name} must be greater than zero")
        self.mode = mode
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bias = bias
        self.batch_first = batch_first
        self.dropout = float(dropout)
        self.bidirectional = bidirectional
        self.proj_size = proj_size
        if mode not in _GATES:
            raise ValueError("Unrecognized RNN mode: " + mode)
        gates = _GATES[mode] * hidden_size
        real_hidden = proj_size if proj_size > 0 else hidden_size
        directions = 2 if bidirectional else 1
        self._flat_weights_names: list[str] = []
        self._all_weights: list[list[str]] = []
        for layer in range(num_layers):
            size = input_size if layer == 0 else real_hidden * directions
            for direction in range(directions):
                end = f"_l{layer}" + ("_reverse" if direction else "")
                shapes = {"weight_ih": (gates, size), "weight_hh": (gates, real_hidden)}
                if bias:
                    shapes.update(bias_ih=(gates,), bias_hh=(gates,))  # type: ignore[arg-type]
                if proj_size > 0:
                    shapes["weight_hr"] = (proj_size, hidden_size)
                names = [name + end for name in shapes]
                for name, shape in zip(names, shapes.values()):
                    empty = rushlight.empty(shape, device=device, dtype=dtype)
                    setattr(self, name, Parameter(empty))
                self._flat_weights_names += names
                self._all_weights.append(names)
        self.reset_parameters()

    @property
    def all_weights(self) -> list[list[Tensor]]:
        """The parameters, a list for each layer and direction."""
        return [[getattr(self, name) for name in names] for names in self._all_weights]

    @property
    def _flat_weights(self) -> list[Tensor]:
        return [getattr(self, name) for name in self._flat_weights_names]

    def flatten_parameters(self) -> None:
        """Nothing to do here: weights need no common memory."""

    def reset_parameters(self) -> None:
        """Draw new initial values: uniform in +-1/sqrt(hidden_size)."""
        bound = 1.0 / math.sqrt(self.hidden_size) if self.hidden_size > 0 else 0
        for weight in self.parameters():
            init.uniform_(weight, -bound, bound)

    def check_input(self, input: Tensor, batch_sizes: Tensor | None) -> None:
        """Raise unless the input has the right dtype, dimensions and features."""
        weight = getattr(self, self._flat_weights_names[0])
        if input.dtype != weight.dtype:
            raise ValueError(
                f"RNN input dtype ({input.dtype}) does not match weight dtype ({weight.dtype}). "
                f"Convert input: input.to({weight.dtype}), or convert model: "
                f"model.to({input.dtype})"
            )
        expected = 2 if batch_sizes is not None else 3
        if input.ndim != expected:
            raise RuntimeError(f"input must have {expected} dimensions, got {input.ndim}")
        if self.input_size != input.shape[-1]:
            raise RuntimeError(
                "input.size(-1) must be equal to input_size. Expected "
                f"{self.input_size}, got {input.shape[-1]}"
            )

    def get_expected_hidden_size(self, input: Tensor, batch_sizes: Any) -> tuple[int, int, int]:
        """(layers * directions, batch, hidden) for this input."""
        if batch_sizes is not None:
            batch = int(batch_sizes[0])
        else:
            batch = input.shape[0] if self.batch_first else input.shape[1]
        return self._hidden_shape(batch, self.proj_size or self.hidden_size)

    def _hidden_shape(self, batch: int, size: int) -> tuple[int, int, int]:
        return (self.num_layers * (2 if self.bidirectional else 1), batch, size)

    def check_hidden_size(
        self, hx: Tensor, expected: tuple, msg: str = "Expected hidden size {}, got {}"
    ) -> None:
        """Raise unless a state has the expected shape."""
        if tuple(hx.shape) != tuple(expected):
            raise RuntimeError(msg.format(tuple(expected), list(hx.shape)))

    def _state_shapes(self, batch: int) -> list[tuple]:
        """The shapes of the states: h, and for the LSTM c."""
        return [self._hidden_shape(batch, self.proj_size or self.hidden_size)]

    def _initial_states(self, hx: Any, input: Tensor, batch: int) -> tuple:
        if hx is None:
            shapes = self._state_shapes(batch)
            return tuple(
                rushlight.zeros(shape, dtype=input.dtype, device=input.device) for shape in shapes
            )
        return (hx,)

    def _run(self, input: Tensor, states: tuple, sizes: list[int] | None) -> tuple:
        """All layers on (T, B, I), or packed (total, I): the last layer's output, final states."""
        finals: list[tuple] = []
        directions = 2 if self.bidirectional else 1
        split = [state.unbind(0) for state in states]
        for layer in range(self.num_layers):
            outputs = []
            for direction in range(directions):
                index = layer * directions + direction
                names = self._all_weights[index]
                weights = {name[: name.index("_l")]: getattr(self, name) for name in names}
                output, final = recurrent.layer(
                    self.mode, input, tuple(s[index] for s in split), weights, sizes, direction == 1
                )
                outputs.append(output)
                finals.append(final)
            input = outputs[0] if directions == 1 else rushlight.cat(outputs, -1)
            if self.dropout > 0 and layer < self.num_layers - 1:
                input = F.dropout(input, self.dropout, self.training)
        return input, tuple(rushlight.stack(list(state)) for state in zip(*finals))

    def forward(self, input: Any, hx: Any = None) -> Any:
        if isinstance(input, PackedSequence):
            return self._forward_packed(input, hx)
        if input.ndim not in (2, 3):
            name = type(self).__name__
            raise ValueError(f"{name}: Expected input to be 2D or 3D, got {input.ndim}D instead")
        batched = input.ndim == 3
        batch_dim = 0 if self.batch_first else 1
        hx = self._check_hidden_dims(hx, batched)
        if not batched:
            input = input.unsqueeze(batch_dim)
        states = self._initial_states(hx, input, input.shape[batch_dim])
        self.check_input(input, None)
        for state, shape in zip(states, self._state_shapes(input.shape[batch_dim])):
            self.check_hidden_size(state, shape)
        if self.batch_first:
            input = input.transpose(0, 1)
        output, finals = self._run(input, states, None)
        if self.batch_first:
            output = output.transpose(0, 1)
        if not batched:
            output = output.squeeze(batch_dim)
            finals = tuple(state.squeeze(1) for state in finals)
        return output, self._result(finals)

    def _forward_packed(self, packed: PackedSequence, hx: Any) -> tuple:
        data, batch_sizes, sorted_indices, unsorted_indices = packed
        sizes = batch_sizes.tolist()
        states = self._initial_states(hx, data, sizes[0])
        if len(states) == 1 and isinstance(states[0], tuple):
            states = states[0]
        if hx is not None and sorted_indices is not None:
            states = tuple(state.index_select(1, sorted_indices) for state in states)
        self.check_input(data, batch_sizes)
        for state, shape in zip(states, self._state_shapes(sizes[0])):
            self.check_hidden_size(state, shape)
        output, finals = self._run(data, states, sizes)
        if unsorted_indices is not None:
            finals = tuple(state.index_select(1, unsorted_indices) for state in finals)
        result = PackedSequence(output, batch_sizes, sorted_indices, unsorted_indices)
        return result, self._result(finals)

    def _check_hidden_dims(self, hx: Any, batched: bool) -> Any:
        """The given state as batched tensors; RuntimeError if it does not fit the input."""
        if hx is None:
            return None
        wanted = 3 if batched else 2
        if hx.ndim != wanted:
            kind = "batched 3-D" if batched else "unbatched 2-D"
            raise RuntimeError(
                f"For {kind} input, hx should also be {wanted}-D but got {hx.ndim}-D tensor"
            )
        return hx if batched else hx.unsqueeze(1)

    def _result(self, finals: tuple) -> Any:
        return finals[0]

    def permute_hidden(self, hx: Any, permutation: Tensor | None) -> Any:
        """The state with its batch in another order."""
        return hx if permutation is None else hx.index_select(1, permutation)

    def extra_repr(self) -> str:
        text = f"{self.input_size}, {self.hidden_size}"
        if self.proj_size != 0:
            text += f", proj_size={self.proj_size}"
        if self.num_layers != 1:
            text += f", num_layers={self.num_layers}"
        if self.bias is not True:
            text += f", bias={self.bias}"
        if self.batch_first is not False:
            text += f", batch_first={self.batch_first}"
        if self.dropout != 0:
            text += f", dropout={self.dropout}"
        if self.bidirectional is not False:
            text += f", bidirectional={self.bidirectional}"
        return text


def _check_options(dropout: Any, num_layers: Any, proj_size: int, hidden_size: Any) -> None:
    if isinstance(dropout, bool) or not isinstance(dropout, (int, float)) or not 0 <= dropout <= 1:
        raise ValueError(
            "dropout should be a number in range [0, 1] representing the probability of an element "
            "being zeroed"
        )
    if dropout > 0 and num_layers == 1:
        warnings.warn(
            "dropout option adds dropout after all but last recurrent layer, so non-zero dropout "
            f"expects num_layers greater than 1, but got dropout={dropout} and "
            f"num_layers={num_layers}",
            stacklevel=4,
        )
    if proj_size < 0:
        raise ValueError("proj_size should be a positive integer or zero to disable projections")
    if isinstance(hidden_size, int) and proj_size >= hidden_size > 0:
        raise ValueError("proj_size has to be smaller than hidden_size")


class RNN(RNNBase):
    """`h_t = tanh(W_ih x_t + b_ih + W_hh h_(t-1) + b_hh)`, or relu.

    Input (L, N, input_size), (N, L, input_size) with `batch_first`, (L, input_size), or a
    `PackedSequence`; state (layers * directions, N, hidden_size), zeros if not given. Returns all
    outputs of the last layer (L, N, directions * hidden_size) and the final state. Raises
    RuntimeError for other shapes, ValueError for another dtype. Elman, 1990.

    >>> rnn = nn.RNN(3, 5, num_layers=2)
    >>> output, state = rnn(torch.zeros(7, 4, 3))
    >>> output.shape, state.shape
    (torch.Size([7, 4, 5]), torch.Size([2, 4, 5]))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(
                f"Unknown nonlinearity '{nonlinearity}'. Select from 'tanh' or 'relu'."
            )
        self_mode = "RNN_TANH" if nonlinearity == "tanh" else "RNN_RELU"
        super().__init__(
            self_mode, input_size, hidden_size, num_layers, bias, batch_first, dropout,
            bidirectional, 0, device, dtype,
        )  # fmt: skip
        self.nonlinearity = nonlinearity


class GRU(RNNBase):
    """Gated recurrent units (Cho et al., 2014). Shapes and errors as in `RNN`.

    `r, z = sigmoid(W x + b + U h + c)`, `n = tanh(W_n x + b_n + r (U_n h + c_n))`,
    `h' = (1 - z) n + z h`; the weights hold r, z, n in this order.

    >>> gru = nn.GRU(3, 5, batch_first=True, bidirectional=True)
    >>> output, state = gru(torch.zeros(4, 7, 3))
    >>> output.shape, state.shape, gru.weight_ih_l0.shape
    (torch.Size([4, 7, 10]), torch.Size([2, 4, 5]), torch.Size([15, 3]))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            "GRU", input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional,
            0, device, dtype,
        )  # fmt: skip


class LSTM(RNNBase):
    """Long short-term memory (Hochreiter and Schmidhuber, 1997). State and result hold (h, c).

    `i, f, o = sigmoid(W x + b + U h + c)`, `g = tanh(...)`, `c' = f c + i g`, `h' = o tanh(c')`;
    the weights hold i, f, g, o in this order. `proj_size` projects h to that size (Sak et al.,
    2014). Shapes and errors as in `RNN`.

    >>> lstm = nn.LSTM(3, 5)
    >>> output, (h, c) = lstm(torch.zeros(7, 4, 3))
    >>> output.shape, h.shape, c.shape
    (torch.Size([7, 4, 5]), torch.Size([1, 4, 5]), torch.Size([1, 4, 5]))
    >>> torch.equal(output[-1], h[0])
    True
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            "LSTM", input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional,
            proj_size, device, dtype,
        )  # fmt: skip

    def get_expected_cell_size(self, input: Tensor, batch_sizes: Any) -> tuple[int, int, int]:
        """(layers * directions, batch, hidden) of the cell state."""
        batch = self.get_expected_hidden_size(input, batch_sizes)[1]
        return self._hidden_shape(batch, self.hidden_size)

    def _state_shapes(self, batch: int) -> list[tuple]:
        return [*super()._state_shapes(batch), self._hidden_shape(batch, self.hidden_size)]

    def _initial_states(self, hx: Any, input: Tensor, batch: int) -> tuple:
        return super()._initial_states(None, input, batch) if hx is None else tuple(hx)

    def _check_hidden_dims(self, hx: Any, batched: bool) -> Any:
        if hx is None:
            return None
        wanted = 3 if batched else 2
        if hx[0].ndim != wanted or hx[1].ndim != wanted:
            kind = "batched 3-D" if batched else "unbatched 2-D"
            raise RuntimeError(
                f"For {kind} input, hx and cx should also be {wanted}-D but got "
                f"({hx[0].ndim}-D, {hx[1].ndim}-D) tensors"
            )
        return tuple(hx) if batched else (hx[0].unsqueeze(1), hx[1].unsqueeze(1))

    def permute_hidden(self, hx: Any, permutation: Tensor | None) -> Any:
        """Both states with their batch in another order."""
        if permutation is None:
            return hx
        return tuple(state.index_select(1, permutation) for state in hx)

    def _result(self, finals: tuple) -> tuple:
        return finals
