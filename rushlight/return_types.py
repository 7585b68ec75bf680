"""torch.return_types: the named tuples that operators with several results return."""

from __future__ import annotations

from typing import Any

from .trace.forms import make_result_type

# {name: fields}; the types of operators that name their results are found there (see `__getattr__`).
FIELDS = {
    "aminmax": "min max", "cummax": "values indices", "cummin": "values indices", "frexp": "mantissa exponent",
    "geqrf": "a tau", "histogram": "hist bin_edges", "histogramdd": "hist bin_edges", "kthvalue": "values indices",
    "linalg_cholesky_ex": "L info", "linalg_eig": "eigenvalues eigenvectors", "linalg_eigh": "eigenvalues eigenvectors",
    "linalg_inv_ex": "inverse info", "linalg_ldl_factor": "LD pivots", "linalg_ldl_factor_ex": "LD pivots info",
    "linalg_lstsq": "solution residuals rank singular_values", "linalg_lu": "P L U", "linalg_lu_factor": "LU pivots",
    "linalg_lu_factor_ex": "LU pivots info", "linalg_qr": "Q R", "linalg_slogdet": "sign logabsdet",
    "linalg_solve_ex": "result info", "linalg_svd": "U S Vh", "lu_unpack": "P L U", "max": "values indices",
    "median": "values indices", "min": "values indices", "mode": "values indices", "nanmedian": "values indices",
    "qr": "Q R", "slogdet": "sign logabsdet", "sort": "values indices", "svd": "U S V", "topk": "values indices",
    "triangular_solve": "solution cloned_coefficient", "unpack_dual": "primal tangent",
}
all_return_types = [make_result_type(name, tuple(fields.split())) for name, fields in FIELDS.items()]


def pytree_register_structseq(cls: type) -> None:
    """Nothing to do: named tuples are nodes of trees."""


def __getattr__(name: str) -> Any:
    if name in ("SequenceKey", "register_pytree_node"):
        from .utils import _pytree

        return getattr(_pytree, name)
    base = name.removesuffix("_out")
    if base in FIELDS:
        return make_result_type(base, tuple(FIELDS[base].split()))
    from .trace.forms import result_type
    from .trace.operator import OPERATORS

    for key in (name, "_" + name, name + "_dim", "_" + name + "_dim"):
        o = OPERATORS.get(key)
        if o is not None and o.returns:
            return result_type(o)
    raise AttributeError(f"torch.return_types has no '{name}'")
