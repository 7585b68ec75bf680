"""What operators on batches of matrices check, and the error that a matrix may cause."""

from __future__ import annotations

from ..trace import dtypes
from ..trace.meta import Meta, meta
from . import rules


class LinAlgError(RuntimeError):
    """A matrix does not have the factorisation, inverse or solution that was asked for.

    >>> try:
    ...     torch.linalg.inv(torch.zeros(2, 2))
    ... except torch.linalg.LinAlgError:
    ...     print("singular")
    singular
    """


def check_matrices(name: str, A: Meta, what: str = "A", half: bool = False) -> None:  # noqa: N803
    """RuntimeError unless `A` has at least 2 dimensions and a floating or complex dtype."""
    if A.ndim < 2:
        rules.fail(
            RuntimeError, f"{name}: The input tensor {what} must have at least 2 dimensions, but "
            f"it has shape {list(A.shape)}"
        )
    if A.dtype.category < dtypes.FLOAT:
        rules.fail(
            RuntimeError, f"{name}: Expected a floating point or complex tensor as input. Got "
            f"{dtypes.type_name(A.dtype)}"
        )
    if A.dtype.is_half and not half:
        rules.fail(
            NotImplementedError,
            f"\"{name.replace('.', '_')}_cpu\" not implemented for '{dtypes.type_name(A.dtype)}'",
        )


def check_square(name: str, A: Meta, half: bool = False) -> None:  # noqa: N803 - PyTorch's name
    """RuntimeError unless `A` is a batch of square matrices of floating or complex numbers."""
    check_matrices(name, A, half=half)
    if A.shape[-1] != A.shape[-2]:
        rules.fail(
            RuntimeError, f"{name}: A must be batches of square matrices, but they are "
            f"{A.shape[-2]} by {A.shape[-1]} matrices"
        )


def square(name: str, half: bool = False):
    """The rule of an operator that makes a square matrix of each square matrix."""

    def rule(A: Meta, *_) -> Meta:  # noqa: N803
        check_square(name, A, half)
        return meta(A.shape, A.dtype)

    return rule


def check_same_dtype(name: str, A: Meta, B: Meta) -> None:  # noqa: N803
    """RuntimeError unless both have one dtype."""
    if A.dtype is not B.dtype:
        rules.fail(
            RuntimeError, f"{name}: Expected A and B to have the same dtype, but found A of type "
            f"{dtypes.type_name(A.dtype)} and B of type {dtypes.type_name(B.dtype)} instead"
        )


def batch_of(*metas: Meta) -> tuple[int, ...]:
    """The common batch shape of several batches of matrices."""
    return rules.broadcast_shapes(*[tuple(m.shape[:-2]) for m in metas])


def named(name: str, fields: tuple[str, ...], values):
    """torch.return_types.<name> of results."""
    from ..trace.forms import make_result_type

    return make_result_type(name, fields)(*values)
