"""The coefficients of rushlight/compile/llvm/vector_*.py: `python benchmarks/fit_polynomials.py EXP`.

Near-minimax polynomials (Lawson's reweighted least squares at Chebyshev nodes, in 60 digits) whose
coefficients are rounded to the format one after another, the others fitted again each time. Needs mpmath.
"""

import sys

import mpmath as mp

mp.mp.dps = 60


def square(x):
    """The variable of odd and even functions."""
    return x * x


def fit(target, weight, low, high, degree, bits=24, variable=lambda x: x):
    """(greatest weight * |p(variable) - target| on [low, high], p's coefficients)."""
    count = 6 * (degree + 1) + 20
    middle, radius = (mp.mpf(low) + high) / 2, (mp.mpf(high) - low) / 2
    xs = [middle + radius * mp.cos(mp.pi * (2 * k + 1) / (2 * count)) for k in range(count)]
    powers = [[variable(x) ** i for i in range(degree + 1)] for x in xs]
    wanted, weights = [target(x) for x in xs], [abs(weight(x)) for x in xs]
    lawson, fixed = [mp.mpf(1)] * count, []

    def solve(rounds):
        nonlocal lawson
        best = None
        for _ in range(rounds):
            n = degree + 1 - len(fixed)
            free = [row[len(fixed) :] for row in powers]
            rest = [
                f - sum(c * p for c, p in zip(fixed, row)) for f, row in zip(wanted, powers)
            ]
            w = [a * b * b for a, b in zip(lawson, weights)]
            matrix, right = mp.matrix(n, n), mp.matrix(n, 1)
            for i in range(n):
                right[i] = mp.fsum(a * r[i] * f for a, r, f in zip(w, free, rest))
                for j in range(n):
                    matrix[i, j] = mp.fsum(a * r[i] * r[j] for a, r in zip(w, free))
            made = fixed + list(mp.lu_solve(matrix, right) if n else [])
            errors = [
                b * abs(mp.fsum(c * p for c, p in zip(made, row)) - f)
                for b, row, f in zip(weights, powers, wanted)
            ]
            if best is None or max(errors) < best[0]:
                best = max(errors), made
            mean = mp.fsum(errors) / count
            lawson = [max(a * e / mean, mp.mpf(10) ** -25) for a, e in zip(lawson, errors)]
            total = mp.fsum(lawson)
            lawson = [a * count / total for a in lawson]
        return best

    best = solve(20)
    for i in range(degree + 1):
        mantissa, exponent = mp.frexp(best[1][i])
        fixed.append(mp.ldexp(mp.nint(mp.ldexp(mantissa, bits)), int(exponent) - bits))
        best = solve(4)
    return best


def odd(f, high, degree, bits):
    """f(x) = x + x**3 p(x**2), relative to f."""
    return fit(
        lambda x: (f(x) - x) / x**3, lambda x: x**3 / f(x), 1e-6, high, degree, bits, square
    )


def exponential(high, relative_to, degree, bits):
    """exp(x) = 1 + x + x**2 p(x)."""
    return fit(
        lambda x: (mp.exp(x) - 1 - x) / x**2, lambda x: x**2 / relative_to(x),
        -high, high, degree, bits,
    )  # fmt: skip


def erf(degree, high, bits):
    """-log(1 - erf(x)) / x - 1, relative to erf."""
    return fit(
        lambda x: -mp.log(mp.erfc(x)) / x - 1, lambda x: x * mp.erfc(x) / mp.erf(x),
        1e-6, high, degree, bits,
    )  # fmt: skip


def erfc(high, degree):
    """(1 + 2 x) exp(x**2) erfc(x)."""

    def target(x):
        return (1 + 2 * x) * mp.exp(x * x) * mp.erfc(x)

    shrink = lambda x: (x - 4) / (x + 4)  # noqa: E731
    return fit(target, lambda x: 1 / target(x), 0, high, degree, 53, shrink)


def erfinv(degree):
    """erfinv(x) / x in s = sqrt(2 - log(1 - x**2)), by Halley's method."""

    def target(s):
        complement = mp.exp(2 - s * s)  # 1 - x**2
        x = mp.sqrt(1 - complement)
        y = mp.sqrt(s * s - 2) if s > 1.8 else x
        for _ in range(60):
            step = (complement / (1 + x) - mp.erfc(y)) * mp.sqrt(mp.pi) / 2 * mp.exp(y * y)
            y -= step / (1 + y * step)
        return y / x

    return fit(
        target, lambda s: 1 / target(s), mp.sqrt(2) + mp.mpf("1e-12"), mp.sqrt("38.9"), degree, 53
    )


def gamma(degree):
    """lgamma(x) / ((x - 1) (x - 2))."""

    def target(x):
        return mp.loggamma(x) / ((x - 1) * (x - 2))

    shrink = lambda x: (x - mp.mpf("1.5")) / (x + 1)  # noqa: E731
    return fit(target, lambda x: 1 / target(x), 0.4999, 2.5001, degree, 53, shrink)


LN2, ROOT = mp.log(2), mp.sqrt(2)
S = mp.mpf("0.1717")  # (sqrt(2) - 1) / (sqrt(2) + 1)
FITS = {
    "EXP_WIDE": lambda: (exponential(LN2 * 1.01, mp.exp, d, b) for d, b in ((5, 24), (11, 53))),
    "EXP_NARROW": lambda: (
        exponential(LN2 * 0.505, mp.expm1, d, b) for d, b in ((4, 24), (9, 53))
    ),
    "EXP2_WIDE": lambda: (
        fit(lambda x: (2**x - 1) / x, lambda x: x / 2**x, -1.001, 1.001, d, b)
        for d, b in ((6, 24), (13, 53))
    ),
    "EXP2_SHORT": lambda: [
        fit(lambda x: (2**x - 1) / x, lambda x: x / 2**x, -0.5001, 0.5001, 6, 53)
    ],
    "LOG_FLOAT": lambda: [
        fit(
            lambda x: (mp.log1p(x) - x + x * x / 2) / x**3, lambda x: x**3 / mp.log1p(x),
            1 / ROOT - 1 - 1e-4, ROOT - 1 + 1e-4, 7,
        )
    ],
    "LOG_DOUBLE": lambda: [
        fit(
            lambda s: 2 * (mp.atanh(s) - s) / s**3, lambda s: s**3 / mp.atanh(s) / 2,
            1e-6, S, 6, 53, square,
        )
    ],
    "LOG2_SHORT": lambda: [
        fit(
            lambda s: 2 * mp.atanh(s) / LN2 / s, lambda s: s * LN2 / mp.atanh(s) / 2,
            1e-8, S, 4, 53, square,
        )
    ],
    "LOG_REST": lambda: [
        fit(
            lambda s: ((mp.atanh(s) / s - 1) / s**2 - mp.mpf(1) / 3) / s**2, lambda s: s**4,
            1e-6, S, 6, 53, square,
        )
    ],
    "SINH_SMALL": lambda: (odd(mp.sinh, 1.001, d, b) for d, b in ((3, 24), (6, 53))),
    "TANH_SMALL": lambda: (odd(mp.tanh, 0.63, d, b) for d, b in ((4, 24), (11, 53))),
    "SIN": lambda: (odd(mp.sin, mp.pi / 2 * 1.0001, d, b) for d, b in ((4, 24), (7, 53))),
    "TAN": lambda: (odd(mp.tan, mp.pi / 4 * 1.001, d, b) for d, b in ((6, 24), (13, 53))),
    "ASIN": lambda: (odd(mp.asin, 0.5001, d, b) for d, b in ((4, 24), (12, 53))),
    "ATAN": lambda: (odd(mp.atan, 1.0001, d, b) for d, b in ((8, 24), (19, 53))),
    "ERF": lambda: (erf(d, h, b) for d, h, b in ((8, 3.93, 24), (24, 5.93, 53))),
    "ERFC": lambda: [erfc(26.6, 23)],
    "ERFC_SHORT": lambda: [erfc(10.1, 11)],
    "ERFINV": lambda: [erfinv(22)],
    "LGAMMA": lambda: [gamma(21)],
}  # fmt: skip

if __name__ == "__main__":
    for name in sys.argv[1:] or FITS:
        for error, coefficients in FITS[name]():
            print(f"{name}: 2**{float(mp.log(error, 2)):.1f}")
            print("    " + ", ".join(repr(float(c)) for c in coefficients), flush=True)
