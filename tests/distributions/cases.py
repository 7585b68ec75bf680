"""One or more examples of each distribution: parameters, and values to be scored."""

from __future__ import annotations

from functools import partial

from oracle import check_program

# the first time and deferred: what differs between modes is tested with the operators
check = partial(check_program, strides=False, modes=("traced", "traced"))
A, B = [1.3, 2.5], [2.0, 0.7]
PROBS = {"probs": [0.3, 0.8]}
LOGITS = {"logits": [-0.5, 1.5]}
WEIGHTS = {"probs": [[0.1, 0.4, 0.5], [0.3, 0.3, 0.4]]}
LOG_WEIGHTS = {"logits": [0.5, -1.0, 2.0]}
MATRIX = [[2.0, 0.4], [0.4, 1.0]]
MATRICES = [[[2.0, 0.4], [0.4, 1.0]], [[1.0, -0.2], [-0.2, 3.0]]]
FACTOR = [[1.5, 0.0], [0.3, 0.8]]
CORRELATION = [[1.0, 0.0, 0.0], [0.6, 0.8, 0.0], [0.28, 0.0, 0.96]]

CASES = {
    "Normal": [
        ({"loc": [0.0, 1.5], "scale": [1.0, 0.3]}, [[0.2, 1.0], [-1.0, 2.0]]),
        ({"loc": 1, "scale": 2.5}, [0.5, 9.0]),
        ({"loc": [[0.5], [2.0]], "scale": [1.0, 2.0, 3.0]}, [0.1, 0.2, 0.3]),
    ],
    "LogNormal": [({"loc": [0.0, 0.5], "scale": [1.0, 0.3]}, [0.7, 2.0])],
    "HalfNormal": [({"scale": [1.0, 2.0]}, [0.7, 2.0])],
    "HalfCauchy": [({"scale": [1.0, 2.0]}, [0.7, 2.0])],
    "Cauchy": [({"loc": [0.0, 1.0], "scale": [1.0, 2.0]}, [0.7, -2.0])],
    "Laplace": [({"loc": [0.0, 1.0], "scale": [1.0, 2.0]}, [0.7, -2.0])],
    "Gumbel": [({"loc": [0.0, 1.0], "scale": [1.0, 2.0]}, [0.7, -2.0]), ({"loc": 0.5, "scale": 2.0}, 0.3)],
    "Uniform": [({"low": [0.0, -1.0], "high": [1.0, 3.0]}, [0.3, 2.0])],
    "VonMises": [({"loc": [0.0, 1.0], "concentration": [1.5, 4.0]}, [0.3, 0.8])],
    "StudentT": [
        ({"df": [3.0, 5.0], "loc": [0.0, 1.0], "scale": [1.0, 2.0]}, [0.3, 2.0]),
        ({"df": [0.5, 1.5]}, [0.3, 2.0]),
    ],
    "Exponential": [({"rate": [1.0, 2.5]}, [0.3, 2.0])],
    "Gamma": [({"concentration": A, "rate": B}, [0.3, 2.0]), ({"concentration": 0.4, "rate": 2.0}, 0.1)],
    "Chi2": [({"df": [1.0, 4.0]}, [0.3, 2.0])],
    "InverseGamma": [
        ({"concentration": [3.0, 2.5], "rate": B}, [0.3, 2.0]),
        ({"concentration": [0.5, 1.5], "rate": B}, [0.3, 2.0]),
    ],
    "FisherSnedecor": [
        ({"df1": [3.0, 5.0], "df2": [6.0, 7.0]}, [0.3, 2.0]),
        ({"df1": [1.0, 5.0], "df2": [1.5, 3.0]}, [0.3, 2.0]),
    ],
    "Pareto": [
        ({"scale": [1.0, 2.0], "alpha": [2.5, 3.0]}, [1.3, 2.8]),
        ({"scale": [1.0, 2.0], "alpha": [0.5, 1.5]}, [1.3, 2.8]),
    ],
    "Weibull": [({"scale": [1.0, 2.0], "concentration": [1.5, 0.9]}, [0.3, 2.8])],
    "GeneralizedPareto": [
        ({"loc": [0.0, 1.0], "scale": [1.0, 2.0], "concentration": [0.1, 0.3]}, [1.3, 2.8]),
        ({"loc": [0.0, 1.0, 0.0], "scale": [1.0, 2.0, 1.0], "concentration": [0.0, -0.2, 1.5]},
         [1.3, 2.8, 0.4]),
    ],
    "Beta": [
        ({"concentration1": A, "concentration0": B}, [0.3, 0.8]),
        ({"concentration1": 2.0, "concentration0": 3.0}, 0.3),
    ],
    "Kumaraswamy": [({"concentration1": A, "concentration0": B}, [0.3, 0.8])],
    "Dirichlet": [
        ({"concentration": [1.0, 2.0, 3.5]}, [0.2, 0.3, 0.5]),
        ({"concentration": [[0.5, 0.2], [2.0, 3.0]]}, [[0.3, 0.7], [0.2, 0.8]]),
    ],
    "LogisticNormal": [({"loc": [0.0, 0.5], "scale": [1.0, 0.3]}, [0.2, 0.3, 0.5])],
    "ContinuousBernoulli": [(PROBS, [0.3, 0.8]), (LOGITS, [0.0, 1.0]), ({"probs": [0.5, 0.5002]}, [0.3, 0.8])],
    "Bernoulli": [(PROBS, [0.0, 1.0]), (LOGITS, [[1.0, 0.0]]), ({"probs": 0.5}, 1.0)],
    "Binomial": [
        ({"total_count": [5.0, 9.0], **PROBS}, [2.0, 7.0]),
        ({"total_count": 30, **LOGITS}, [2.0, 30.0]),
    ],
    "NegativeBinomial": [
        ({"total_count": [5.0, 9.0], **PROBS}, [2.0, 7.0]),
        ({"total_count": [0.0, 3.0], **LOGITS}, [0.0, 7.0]),
    ],
    "Geometric": [(PROBS, [2.0, 0.0]), (LOGITS, [1.0, 3.0]), ({"probs": [1.0, 0.5]}, [0.0, 3.0])],
    "Poisson": [({"rate": [1.0, 4.5]}, [2.0, 5.0]), ({"rate": [0.0, 30.0]}, [0.0, 28.0])],
    "Categorical": [(WEIGHTS, [2, 0]), (LOG_WEIGHTS, 1), ({"probs": [0.0, 2.0, 2.0]}, [[0], [2]])],
    "OneHotCategorical": [(WEIGHTS, [0.0, 1.0, 0.0]), (LOG_WEIGHTS, [[0.0, 1.0, 0.0]] * 2)],
    "OneHotCategoricalStraightThrough": [(WEIGHTS, [0.0, 1.0, 0.0])],
    "Multinomial": [({"total_count": 6, **WEIGHTS}, [1.0, 2.0, 3.0]), ({"total_count": 1, **LOG_WEIGHTS}, [0.0, 1.0, 0.0])],
    "RelaxedBernoulli": [({"temperature": [0.7], **PROBS}, [0.3, 0.8]), ({"temperature": [2.0], **LOGITS}, [0.3, 0.8])],
    "RelaxedOneHotCategorical": [
        ({"temperature": [0.7], **WEIGHTS}, [0.2, 0.3, 0.5]),
        ({"temperature": [0.7], **LOG_WEIGHTS}, [0.2, 0.3, 0.5]),
    ],
    "MultivariateNormal": [
        ({"loc": [0.0, 1.0], "covariance_matrix": MATRIX}, [[0.2, 0.3], [1.0, -1.0]]),
        ({"loc": [0.0, 1.0], "precision_matrix": MATRICES}, [[[0.2, 0.3], [1.0, -1.0]]] * 3),
        ({"loc": [[0.0, 1.0], [2.0, 3.0]], "scale_tril": FACTOR}, [0.2, 0.3]),
    ],
    "LowRankMultivariateNormal": [
        ({"loc": [0.0, 1.0, 2.0], "cov_factor": [[1.0], [0.5], [0.2]], "cov_diag": [1.0, 2.0, 0.5]},
         [0.2, 0.3, 1.0]),
        ({"loc": [[0.0, 1.0], [1.0, 2.0]], "cov_factor": MATRICES, "cov_diag": [1.0, 2.0]},
         [[[0.2, 0.3], [0.1, 0.4]]] * 3),
    ],
    "LKJCholesky": [
        ({"dim": 3, "concentration": 1.5}, CORRELATION),
        ({"dim": 3, "concentration": [1.0, 2.5]}, CORRELATION),
    ],
    "Wishart": [
        ({"df": 4.0, "covariance_matrix": MATRIX}, [[1.0, 0.2], [0.2, 2.0]]),
        ({"df": [3.5, 5.0], "precision_matrix": MATRICES}, [[1.0, 0.2], [0.2, 2.0]]),
        ({"df": 2.5, "scale_tril": FACTOR}, [[[1.0, 0.2], [0.2, 2.0]]] * 2),
    ],
}  # fmt: skip
NAMES = [(name, i) for name, cases in CASES.items() for i in range(len(cases))]


def build(T, name, i=0, grad=False, dtype="float64", **more):
    """(an example, its parameters that are tensors)"""
    kwargs = {}
    for key, value in CASES[name][i][0].items():
        if isinstance(value, list):
            value = T.tensor(value, dtype=getattr(T, dtype), requires_grad=grad)
        kwargs[key] = value
    made = getattr(T.distributions, name)(**kwargs, **more)
    return made, [v for v in kwargs.values() if isinstance(v, T.Tensor)]


def value_of(T, name, i=0, dtype="float64"):
    """The values to be scored by an example."""
    value = T.tensor(CASES[name][i][1])
    if not value.is_floating_point():
        return value
    return T.tensor(CASES[name][i][1], dtype=getattr(T, dtype))
