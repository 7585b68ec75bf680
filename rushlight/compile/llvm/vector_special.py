"""erf and its relatives on vectors (see `vector_math.py`)."""

from __future__ import annotations

from .vector_exponential import reduced_exp
from .vector_values import Value, fma, polynomial

# -log(1 - erf(x)) / x from 0 to 3.93 less the first number below: 2**-27.9 of erf
ERF_FIRST = 1.128379225730896
ERF = (
    -5.402377922791857e-08, 0.6366193890571594, 0.10277775675058365, -0.019152777269482613,
    -0.00016094610327854753, 0.0016675943043082952, -0.0006331540062092245,
    0.00011773160804295912, -9.266494089388289e-06,
)  # fmt: skip
ERF_ONE = 3.93  # erf rounds to 1 above


def erf(x: Value) -> Value:
    """1 - exp(-p(|x|))."""
    a = x.absolute().at_most(ERF_ONE)
    power = fma(a, ERF_FIRST, a * polynomial(a, ERF))
    q, scale = reduced_exp(-power)
    return (1.0 - scale - q * scale).with_sign_of(x)
