"""PyTorch's names of gradient nodes, where they are not made of the operator's name."""

from __future__ import annotations


def _by_dim(name: str):
    return lambda args: f"{name}Backward{int(args[1] is not None)}"


def _is_number(x) -> bool:
    return x is None or x.m.weak


def _pow(args) -> str:
    if _is_number(args[1]):
        return "PowBackward0"
    # (the number of `2 ** x` has become a tensor)
    return "PowBackward1" if args[0].m.ndim or args[0].rg else "PowBackward2"


NAMES = {
    "sum": _by_dim("Sum"),
    "mean": _by_dim("Mean"),
    "pow": _pow,
    "_clamp": lambda args: f"ClampBackward{int(_is_number(args[1]) and _is_number(args[2]))}",
    "linear": lambda args: "MmBackward0" if args[2] is None else "AddmmBackward0",
    "true_divide": "DivBackward0",
    "log1p": "Log1PBackward0",
    "matmul": "MmBackward0",
    "_nll_rows": "NllLossBackward0",
    "_cross_entropy": "NllLossBackward0",
    "_bce": "BinaryCrossEntropyBackward0",
    "_to_dtype": "ToCopyBackward0",
    "_to_meta": "ToCopyBackward0",
    "_scatter_value": "ScatterBackward1",
    "_max_dim": "MaxBackward0",
    "_min_dim": "MinBackward0",
    "_vector_norm": "LinalgVectorNormBackward0",
    "inv": "LinalgInvExBackward0",
    "det": "LinalgDetBackward0",
    "_max_pool": "MaxPool2DWithIndicesBackward0",
    "_average": "AvgPool2DBackward0",
    "_adaptive_average": "AdaptiveAvgPool2DBackward0",
}


def grad_name(op, args) -> str:
    """The name of the gradient node of an operator that was called with `args` (nodes)."""
    name = NAMES.get(op.name)
    if name is None:
        return "".join(p.capitalize() for p in op.name.strip("_").split("_")) + "Backward0"
    return name if isinstance(name, str) else name(args)
