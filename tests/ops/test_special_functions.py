"""Special functions that torch.special alone has, against PyTorch and SciPy."""

from __future__ import annotations

import numpy as np
import pytest
from oracle import Given, check, check_error
from scipy import special

import rushlight

rng = np.random.default_rng(37)
X = np.concatenate([np.linspace(-30, 30, 61), np.geomspace(1e-9, 500, 40)])
ENDS = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, -1.0, 1e-30])
P = rng.uniform(0.05, 0.95, (3, 4))

CYLINDER = {
    "bessel_j0": special.j0, "bessel_j1": special.j1, "bessel_y0": special.y0,
    "bessel_y1": special.y1, "modified_bessel_i0": special.i0, "modified_bessel_i1": special.i1,
    "modified_bessel_k0": special.k0, "modified_bessel_k1": special.k1,
    "scaled_modified_bessel_k0": special.k0e, "scaled_modified_bessel_k1": special.k1e,
    "airy_ai": lambda x: special.airy(x)[0], "spherical_bessel_j0": lambda x: np.sinc(x / np.pi),
}


@pytest.mark.parametrize("name", list(CYLINDER))
def test_cylinder_functions(name):
    ours = getattr(rushlight.special, name)(rushlight.tensor(X)).numpy()
    positive = X if not name.startswith(("bessel_y", "modified_bessel_k", "scaled")) \
        else np.where(X >= 0, X, np.nan)
    want = np.where(positive == 0, ours, CYLINDER[name](positive))
    want[np.isinf(want)] = ours[np.isinf(want)]  # (SciPy overflows a little later)
    np.testing.assert_allclose(ours, want, rtol=1e-9, atol=1e-12)
    check("special." + name, ENDS, grad=False)
    check("special." + name, Given(X.astype(np.float32)), grad=False, rtol=1e-3, atol=3e-6)
    check("special." + name, np.arange(3), grad=False)


POLYNOMIALS = [
    *(p + f"chebyshev_polynomial_{k}" for p in ("", "shifted_") for k in "tuvw"),
    "hermite_polynomial_h", "hermite_polynomial_he", "laguerre_polynomial_l",
    "legendre_polynomial_p",
]


@pytest.mark.parametrize("name", POLYNOMIALS)
def test_polynomials(name):
    x = np.array([-1.0, -0.3, 0.0, 0.7, 1.0, 1.8])[:, None]
    degrees = np.array([-1, 0, 1, 2, 3, 7, 12, 2.6])
    check("special." + name, x, degrees, grad=False, atol=1e-5)
    check("special." + name, x, 5, grad=False)
    check("special." + name, 2, np.arange(4), grad=False)
    check("special." + name, x, np.array([np.nan, np.inf, 1e30]), grad=False)


@pytest.mark.parametrize("name", ["erfcx", "ndtr", "log_ndtr", "entr"])
def test_of_one_number(name):
    x = X[X < 27] if name != "erfcx" else X[X > -5]
    x = np.abs(x) + 1e-3 if name == "entr" else x
    check("special." + name, x, grad=False, rtol=1e-9, atol=1e-12)
    check("special." + name, P, gradgrad=True, atol=1e-9)
    check("special." + name, ENDS[:6], grad=False)
    check("special." + name, np.arange(3), grad=False)
    check_error("special." + name, Given(P + 1j))


def test_normal_quantiles():
    p = np.concatenate([np.geomspace(1e-300, 0.4, 60), 1 - np.geomspace(1e-15, 0.4, 60)])
    ours = rushlight.special.ndtri(rushlight.tensor(p)).numpy()
    np.testing.assert_allclose(ours, special.ndtri(p), rtol=1e-12)
    check("special.ndtri", P, gradgrad=True)
    check("special.ndtri", np.array([0.0, 1.0, -0.5, 2.0, np.nan, 0.5]), grad=False, atol=1e-12)


def test_of_two_numbers():
    check("special.xlog1py", P, P[::-1].copy(), gradgrad=True)
    check("special.xlog1py", np.array([0.0, 0.0, 1.0]), np.array([-1.0, np.nan, -1.0]), grad=False)
    check("special.xlog1py", P, 2.0)
    check("special.zeta", P * 5 + 1.1, P * 3, grad=False)
    check("special.zeta", np.array([1.0, 0.5, 2, 2, 3, 2.5, 40]), np.array([1.0, 1, 0, -1, -1.5, -1.5, 2]),
          grad=False)
    check("special.zeta", Given(P * 5 + 1.1, grad=False), P + 1, gradgrad=True)
