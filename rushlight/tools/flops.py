"""Multiply-adds of operators, from the shapes that they were called with."""

from __future__ import annotations

import math


def _of_linear(args, out):
    return out.size * args[1].shape[-1]


def _of_transposed(args, out):
    return args[0].size * args[1].shape[-1]


def _of_product(args, out):
    return out.size * args[0].shape[-1]


def _of_sum_and_product(args, out):
    return out.size * args[1].shape[-1]


def _of_batch_sum(args, out):
    return args[1].size * args[2].shape[-1]


def _of_convolution(args, out):
    return out.size * math.prod(args[1].shape[1:])


def _of_input_gradient(args, out):
    return args[0].size * math.prod(args[1].shape[1:])


def _of_weight_gradient(args, out):
    return args[0].size * math.prod(out.shape[1:])


def _of_recurrence(args, out):
    return args[0].shape[0] * math.prod(args[3].shape)  # each row of a step meets the weights


def _of_recurrence_backward(args, out):
    return args[4].shape[0] * math.prod(args[7].shape)


COUNTS = {
    "linear": _of_linear,
    "_transposed_mm": _of_transposed,
    "matmul": _of_product,
    "_lower_matmul": _of_product,
    "_triangular_matmul": _of_product,
    "mm": _of_product,
    "bmm": _of_product,
    "mv": _of_product,
    "dot": _of_product,
    "vdot": _of_product,
    "addmm": _of_sum_and_product,
    "addmv": _of_sum_and_product,
    "baddbmm": _of_sum_and_product,
    "addr": lambda args, out: out.size,
    "addbmm": _of_batch_sum,
    "_convolution": _of_convolution,
    "_conv_input": _of_input_gradient,
    "_conv_weight": _of_weight_gradient,
    "_recurrent": _of_recurrence,
    "_recurrent_backward": _of_recurrence_backward,
}


def multiply_adds(name: str, args, out) -> int:
    """Multiply-adds of one call of operator `name`; 0 for all but products and convolutions.

    `(n, k) @ (k, m)` takes `n * m * k`. args, out: arrays (or anything with `shape` and `size`).

    >>> import numpy as np
    >>> multiply_adds("mm", [np.ones((2, 3)), np.ones((3, 5))], np.ones((2, 5)))
    30
    """
    count = COUNTS.get(name)
    return 0 if count is None else int(count(args, out))
