"""Layers under their names in `torch` itself, with the arguments in the order that PyTorch has there.

`torch.embedding(weight, indices)` is `nn.functional.embedding(indices, weight)`: what programs that were
translated, and PyTorch's own modules, call.
"""

from __future__ import annotations

from ..trace.operator import Tensor, function
from . import dropout as drops
from . import embedding as tables
from . import max_pooling, normalization, recurrent
from .convolution import conv1d, tuple_of
from .creation import empty, zeros
from .grid_sampling import affine_grid
from .loss import poisson_nll_loss as functional_poisson
from .reduction import norm
from .shape import cat, stack

REDUCTIONS = ("none", "mean", "sum")
MODES = ("sum", "mean", "max")


# ---------------------------------------------------------------- embedding


@function(api="torch")
def embedding(weight: Tensor, indices: Tensor, padding_idx: int = -1, scale_grad_by_freq: bool = False,
              sparse: bool = False):
    """The rows of `weight` (n, width) at `indices`; -1 stands for no padding index.

    >>> torch.embedding(torch.tensor([[1.0], [2.0]]), torch.tensor([1, 0]))
    tensor([[2.],
            [1.]])
    """
    padding = None if padding_idx == -1 else padding_idx
    return tables.embedding(indices, weight, padding, None, 2.0, scale_grad_by_freq, sparse)


@function(api="torch")
def embedding_bag(weight: Tensor, indices: Tensor, offsets: Tensor, scale_grad_by_freq: bool = False,
                  mode: int = 0, sparse: bool = False, per_sample_weights: Tensor | None = None,
                  include_last_offset: bool = False, padding_idx: int | None = None):
    """(`embedding_bag`, the bag of each index, the bags' sizes, an empty tensor); mode: 0 sum, 1 mean, 2 max.

    Deliberate difference: PyTorch fills the last three only where its gradient needs them, and for mode 2 the
    last one has the rows of the maxima.
    """
    made = tables.embedding_bag(
        indices, weight, offsets, None, 2.0, scale_grad_by_freq, MODES[mode], sparse, per_sample_weights,
        include_last_offset, padding_idx)
    ends = offsets if include_last_offset else cat([offsets, offsets.new_full((1,), indices.shape[0])])
    sizes = ends.diff()
    bag = zeros(sizes.shape[0], dtype=sizes.dtype).new_tensor(range(sizes.shape[0]))
    return made, bag.repeat_interleave(sizes), sizes, empty(0, dtype=sizes.dtype)


@function(api="torch")
def embedding_renorm_(weight: Tensor, indices: Tensor, max_norm: float, norm_type: float):
    """Scale the rows of `weight` at `indices` down to at most `max_norm`, in place."""
    tables.renormalize(weight, indices, max_norm, norm_type)
    return weight


# ---------------------------------------------------------------- normalisation, dropout, losses


@function(api="torch")
def batch_norm(input: Tensor, weight: Tensor | None, bias: Tensor | None, running_mean: Tensor | None,
               running_var: Tensor | None, training: bool, momentum: float, eps: float,
               cudnn_enabled: bool):
    """`nn.functional.batch_norm`; cudnn_enabled: accepted."""
    return normalization.batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps)


@function(api="torch")
def instance_norm(input: Tensor, weight: Tensor | None, bias: Tensor | None,
                  running_mean: Tensor | None, running_var: Tensor | None, use_input_stats: bool,
                  momentum: float, eps: float, cudnn_enabled: bool):
    """`nn.functional.instance_norm`; cudnn_enabled: accepted."""
    return normalization.instance_norm(
        input, running_mean, running_var, weight, bias, use_input_stats, momentum, eps)


def _in_place(name: str):
    form = getattr(drops, name)

    def dropped(input: Tensor, p: float, train: bool):
        return form(input, p, train, True)

    dropped.__name__ = name + "_"
    dropped.__doc__ = f"`{name}`, in place."
    return function(api="torch")(dropped)


dropout_, feature_dropout_, alpha_dropout_, feature_alpha_dropout_ = map(
    _in_place, ("dropout", "feature_dropout", "alpha_dropout", "feature_alpha_dropout"))


@function(api="torch")
def poisson_nll_loss(input: Tensor, target: Tensor, log_input: bool, full: bool, eps: float,
                     reduction: int):
    """`nn.functional.poisson_nll_loss`; reduction: 0 none, 1 mean, 2 sum."""
    return functional_poisson(input, target, log_input, full, None, eps, None, REDUCTIONS[reduction])


@function(api="torch")
def norm_except_dim(v: Tensor, pow: int = 2, dim: int = 0):
    """The norm over all dims but one, which keep size 1; over all dims for -1.

    >>> torch.norm_except_dim(torch.tensor([[3.0, 4.0], [0.0, 2.0]]), 2, 0)
    tensor([[5.],
            [2.]])
    """
    if dim == -1:
        return norm(v, pow)
    return norm(v, pow, [d for d in range(v.ndim) if d != dim % v.ndim], keepdim=True)


# ---------------------------------------------------------------- pooling, sampling, convolution


@function(api="torch")
def adaptive_max_pool1d(input: Tensor, output_size):
    """(maxima, their indices) over windows that give `output_size`."""
    return max_pooling.adaptive_max_pool1d(input, output_size, True)


@function(api="torch")
def max_pool1d_with_indices(input: Tensor, kernel_size, stride=(), padding=0, dilation=1,
                            ceil_mode: bool = False):
    """(maxima, their indices) over windows."""
    return max_pooling.max_pool1d(input, kernel_size, stride or None, padding, dilation, ceil_mode, True)


@function(api="torch")
def affine_grid_generator(theta: Tensor, size, align_corners: bool):
    """`nn.functional.affine_grid`."""
    return affine_grid(theta, size, align_corners)


@function(api="torch nn.functional")
def conv_tbc(input: Tensor, weight: Tensor, bias: Tensor, pad: int = 0):
    """A 1-d convolution of (time, batch, channels) with a weight (width, channels, out channels)."""
    made = conv1d(input.permute(1, 2, 0), weight.permute(2, 1, 0), bias, padding=pad)
    return made.permute(2, 0, 1).contiguous()


@function(api="torch")
def convolution(input: Tensor, weight: Tensor, bias: Tensor | None, stride, padding, dilation,
                transposed: bool, output_padding, groups: int):
    """A convolution of one to three dimensions, or a transposed one: `nn.functional.conv2d` and so on."""
    from . import convolution as forms

    rank = weight.ndim - 2
    if rank not in (1, 2, 3):
        raise RuntimeError(f"convolution: weight of shape {list(weight.shape)} has {rank} spatial dims, not 1 to 3")
    stride, padding, dilation = (tuple_of(x, rank, n) for x, n in (
        (stride, "stride"), (padding, "padding"), (dilation, "dilation")))
    if transposed:
        form = getattr(forms, f"conv_transpose{rank}d")
        extra = tuple_of(output_padding, rank, "output_padding")
        return form(input, weight, bias, stride, padding, extra, groups, dilation)
    return getattr(forms, f"conv{rank}d")(input, weight, bias, stride, padding, dilation, groups)


# ---------------------------------------------------------------- recurrent layers


def _layers(mode: str, x, states: tuple, params, has_biases: bool, num_layers: int, dropout: float,
            train: bool, directions: int, sizes):
    """All layers on (time, batch, features) or packed rows: (the last one's outputs, the last states)."""
    names = ("weight_ih", "weight_hh", *(("bias_ih", "bias_hh") if has_biases else ()))
    cells = num_layers * directions
    each = len(params) // cells if cells else 0
    if not cells or len(params) != cells * each or each not in (len(names), len(names) + 1):
        raise RuntimeError(
            f"{mode.lower()}: got {len(params)} weights for {num_layers} layers in {directions} direction(s)")
    if each > len(names):  # projections
        names += ("weight_hr",)
    split, finals = [s.unbind(0) for s in states], []
    for layer in range(num_layers):
        outputs = []
        for direction in range(directions):
            at = layer * directions + direction
            weights = dict(zip(names, params[at * each : (at + 1) * each], strict=True))
            out, last = recurrent.layer(mode, x, tuple(s[at] for s in split), weights, sizes, direction == 1)
            outputs.append(out)
            finals.append(last)
        x = outputs[0] if directions == 1 else cat(outputs, -1)
        if dropout and layer < num_layers - 1:
            x = drops.dropout(x, dropout, train)
    return x, tuple(stack(list(s)) for s in zip(*finals, strict=True))


def _recurrent_form(name: str, mode: str):
    """`torch.gru(input, hx, params, ...)`, or for packed rows `torch.gru(data, batch_sizes, hx, params, ...)`."""

    def form(input: Tensor, *rest):
        if isinstance(rest[2], (tuple, list)):  # the weights, after the packed rows' sizes
            sizes, hx, params, has_biases, num_layers, dropout, train, bidirectional = rest
            batch_first, sizes = False, sizes.tolist()
        else:
            hx, params, has_biases, num_layers, dropout, train, bidirectional, batch_first = rest
            sizes = None
        x = input.transpose(0, 1) if batch_first else input
        states = tuple(hx) if isinstance(hx, (tuple, list)) else (hx,)
        out, finals = _layers(mode, x, states, list(params), has_biases, num_layers, dropout, train,
                              2 if bidirectional else 1, sizes)
        return out.transpose(0, 1) if batch_first else out, *finals

    form.__name__ = name
    form.__doc__ = (
        f"A {mode} on (time, batch, features): `torch.{name}(input, hx, params, has_biases, num_layers, dropout, "
        f"train, bidirectional, batch_first)`, or packed: `torch.{name}(data, batch_sizes, hx, params, ..., "
        "bidirectional)`. Returns the outputs and the last state (for an LSTM: two)."
    )
    return function(api="torch")(form)


def _cell_form(name: str, mode: str):
    def form(input: Tensor, hx, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor | None = None,
             b_hh: Tensor | None = None):
        states = tuple(hx) if isinstance(hx, (tuple, list)) else (hx,)
        made = recurrent.step(mode, recurrent.linear(input, w_ih, b_ih), states, w_hh, b_hh)
        return made if len(made) > 1 else made[0]

    form.__name__ = name + "_cell"
    form.__doc__ = f"One step of a {mode} from state `hx` (for an LSTM: h and c)."
    return function(api="torch")(form)


for _name, _mode in (("lstm", "LSTM"), ("gru", "GRU"), ("rnn_tanh", "RNN_TANH"), ("rnn_relu", "RNN_RELU")):
    globals()[_name] = _recurrent_form(_name, _mode)
    globals()[_name + "_cell"] = _cell_form(_name, _mode)


# ---------------------------------------------------------------- what PyTorch has removed

REMOVED = {
    "eig": "torch.linalg.eig", "lstsq": "torch.linalg.lstsq", "matrix_rank": "torch.linalg.matrix_rank",
    "solve": "torch.linalg.solve", "symeig": "torch.linalg.eigh",
}


def _removed(name: str, instead: str):
    def form(input: Tensor, *args, **kwargs):
        raise RuntimeError(
            f"This function was deprecated since version 1.9 and is now removed. `torch.{name}` is deprecated "
            f"in favor of `{instead}`.")

    form.__name__ = name
    form.__doc__ = f"Removed from PyTorch: use `{instead}`."
    return function(api="torch" if name == "matrix_rank" else "torch Tensor")(form)


for _name, _instead in REMOVED.items():
    _removed(_name, _instead)
