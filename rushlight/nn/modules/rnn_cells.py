"""Single steps of recurrent networks."""

from __future__ import annotations

import math
from typing import Any

import rushlight
from rushlight.nn import functional as F
from rushlight.nn import init
from rushlight.nn.parameter import Parameter
from rushlight.ops import recurrent
from rushlight.trace.tensor import Tensor

from .module import Module

__all__ = ["GRUCell", "LSTMCell", "RNNCell", "RNNCellBase"]


class RNNCellBase(Module):
    """Weights and checks of the three cells. `num_chunks` is the number of gates.

    `weight_ih` (gates * hidden, input), `weight_hh` (gates * hidden, hidden) and both biases start
    uniform in +-1/sqrt(hidden_size).

    >>> nn.GRUCell(3, 5).weight_ih.shape
    torch.Size([15, 3])
    """

    __constants__ = ["input_size", "hidden_size", "bias"]

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool,
        num_chunks: int,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.bias = bias
        gates = num_chunks * hidden_size
        options = {"device": device, "dtype": dtype}
        self.weight_ih = Parameter(rushlight.empty((gates, input_size), **options))
        self.weight_hh = Parameter(rushlight.empty((gates, hidden_size), **options))
        for name in ("bias_ih", "bias_hh"):
            value = Parameter(rushlight.empty(gates, **options)) if bias else None
            self.register_parameter(name, value)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new initial values: uniform in +-1/sqrt(hidden_size)."""
        bound = 1.0 / math.sqrt(self.hidden_size) if self.hidden_size > 0 else 0
        for weight in self.parameters():
            init.uniform_(weight, -bound, bound)

    def extra_repr(self) -> str:
        text = f"{self.input_size}, {self.hidden_size}"
        if self.bias is not True:
            text += f", bias={self.bias}"
        if getattr(self, "nonlinearity", "tanh") != "tanh":
            text += f", nonlinearity={self.nonlinearity}"
        return text

    def _step(self, mode: str, input: Tensor, states: tuple | None, names: str) -> tuple:
        """Check, run one step on (N, I) or (I,), return the states in the input's form."""
        name = type(self).__name__
        if input.ndim not in (1, 2):
            raise ValueError(f"{name}: Expected input to be 1D or 2D, got {input.ndim}D instead")
        for state, what in zip(states or (), names):
            if state.ndim not in (1, 2):
                raise ValueError(
                    f"{name}: Expected {what}x to be 1D or 2D, got {state.ndim}D instead"
                )
        batched = input.ndim == 2
        if not batched:
            input = input.unsqueeze(0)
        if states is None:
            shape = (input.shape[0], self.hidden_size)
            zeros = rushlight.zeros(shape, dtype=input.dtype, device=input.device)
            states = (zeros,) * len(names)
        elif not batched:
            states = tuple(state.unsqueeze(0) for state in states)
        if input.shape[1] != self.input_size:
            raise RuntimeError(
                f"input has inconsistent input_size: got {input.shape[1]} expected "
                f"{self.input_size}"
            )
        for i, state in enumerate(states):
            if state.shape[0] != input.shape[0]:
                raise RuntimeError(
                    f"Input batch size {input.shape[0]} doesn't match hidden{i} batch size "
                    f"{state.shape[0]}"
                )
            if state.shape[1] != self.hidden_size:
                raise RuntimeError(
                    f"hidden{i} has inconsistent hidden_size: got {state.shape[1]}, expected "
                    f"{self.hidden_size}"
                )
        gates = F.linear(input, self.weight_ih, self.bias_ih)
        states = recurrent.step(mode, gates, states, self.weight_hh, self.bias_hh)
        return states if batched else tuple(state.squeeze(0) for state in states)


class RNNCell(RNNCellBase):
    """`h' = tanh(W_ih x + b_ih + W_hh h + b_hh)`, or relu: (N, input_size), (N, hidden_size).

    Both without N for a single example; h is zeros if not given. Raises RuntimeError for other
    sizes.

    >>> cell, h = nn.RNNCell(3, 5), None
    >>> for x in torch.zeros(7, 4, 3):
    ...     h = cell(x, h)
    >>> h.shape
    torch.Size([4, 5])
    """

    nonlinearity: str

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 1, device, dtype)
        self.nonlinearity = nonlinearity

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        modes = {"tanh": "RNN_TANH", "relu": "RNN_RELU"}
        if self.nonlinearity not in modes:
            raise RuntimeError(f"Unknown nonlinearity: {self.nonlinearity}")
        states = None if hx is None else (hx,)
        return self._step(modes[self.nonlinearity], input, states, "h")[0]


class LSTMCell(RNNCellBase):
    """One step of `LSTM`: (N, input_size) and (h, c), each (N, hidden_size), to the new (h, c).

    >>> h, c = nn.LSTMCell(3, 5)(torch.zeros(4, 3))
    >>> h.shape, c.shape
    (torch.Size([4, 5]), torch.Size([4, 5]))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 4, device, dtype)

    def forward(
        self, input: Tensor, hx: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, Tensor]:
        return self._step("LSTM", input, None if hx is None else tuple(hx), "hc")  # type: ignore[return-value]


class GRUCell(RNNCellBase):
    """One step of `GRU`: (N, input_size) and (N, hidden_size) to (N, hidden_size).

    >>> nn.GRUCell(3, 5)(torch.zeros(4, 3)).shape
    torch.Size([4, 5])
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 3, device, dtype)

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        return self._step("GRU", input, None if hx is None else (hx,), "h")[0]
