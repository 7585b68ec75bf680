"""Probability distributions: log densities, samples with gradients, entropies, KL divergences.

`distribution.py` is the base; read it first, then `location_scale.py`. Families share files, which are
loaded when one of their names is first used. `transforms/`, `constraints.py` and
`constraint_registry.py`: what parameters and values may be, and how to get there from unconstrained
numbers. `kl.py`: divergences. PyTorch's module paths (`distributions.normal`) work as well.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING, Any

from . import transforms
from .transforms import *  # noqa: F403

# our file: its distributions, and PyTorch's files of them
FAMILIES = {
    "distribution": ("Distribution ExponentialFamily", "exp_family"),
    "compound": (
        "Independent TransformedDistribution", "independent transformed_distribution"
    ),
    "mixture": ("MixtureSameFamily", "mixture_same_family"),
    "location_scale": (
        "Cauchy Gumbel HalfCauchy HalfNormal Laplace LogNormal Normal StudentT Uniform",
        "cauchy gumbel half_cauchy half_normal laplace log_normal normal studentT uniform",
    ),
    "von_mises": ("VonMises", ""),
    "positive": (
        "Chi2 Exponential FisherSnedecor Gamma GeneralizedPareto InverseGamma Pareto Weibull",
        "chi2 exponential fishersnedecor gamma generalized_pareto inverse_gamma pareto weibull",
    ),
    "simplex": (
        "Beta Dirichlet Kumaraswamy LogisticNormal", "beta dirichlet kumaraswamy logistic_normal"
    ),
    "counts": (
        "Bernoulli Binomial Geometric NegativeBinomial Poisson",
        "bernoulli binomial geometric negative_binomial poisson",
    ),
    "categorical": (
        "Categorical Multinomial OneHotCategorical OneHotCategoricalStraightThrough",
        "multinomial one_hot_categorical",
    ),
    "relaxed": (
        "ContinuousBernoulli RelaxedBernoulli RelaxedOneHotCategorical",
        "continuous_bernoulli relaxed_bernoulli relaxed_categorical",
    ),
    "multivariate_normal": (
        "LowRankMultivariateNormal MultivariateNormal", "lowrank_multivariate_normal"
    ),
    "matrices": ("LKJCholesky Wishart", "lkj_cholesky wishart"),
    "constraint_registry": ("biject_to transform_to", ""),
    "kl": ("kl_divergence register_kl", ""),
}
FAMILY_OF = {name: family for family, (names, _) in FAMILIES.items() for name in names.split()}
FILES = {*FAMILIES, "constraints", "utils"}

__all__ = [*FAMILY_OF, *transforms.__all__]


def __getattr__(name: str) -> Any:
    """The distribution of this name, or the file."""
    if name in FAMILY_OF:
        value = getattr(import_module(f"{__name__}.{FAMILY_OF[name]}"), name)
        globals()[name] = value
        return value
    if name in FILES:
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *FILES})


def _alias(file: str, family: str) -> None:
    """A module with the name of PyTorch's file that looks its names up in ours."""
    module: Any = ModuleType(f"{__name__}.{file}")
    module.__spec__ = ModuleSpec(module.__name__, None)
    module.__getattr__ = lambda name: getattr(import_module(f"{__name__}.{family}"), name)
    globals()[file] = sys.modules[module.__name__] = module


for _family, (_, _files) in FAMILIES.items():
    for _file in _files.split():
        _alias(_file, _family)

if TYPE_CHECKING:
    from . import constraints as constraints
    from . import utils as utils
    from .categorical import *  # noqa: F403
    from .compound import *  # noqa: F403
    from .constraint_registry import *  # noqa: F403
    from .counts import *  # noqa: F403
    from .distribution import *  # noqa: F403
    from .kl import *  # noqa: F403
    from .location_scale import *  # noqa: F403
    from .matrices import *  # noqa: F403
    from .mixture import *  # noqa: F403
    from .multivariate_normal import *  # noqa: F403
    from .positive import *  # noqa: F403
    from .relaxed import *  # noqa: F403
    from .simplex import *  # noqa: F403
    from .von_mises import *  # noqa: F403
