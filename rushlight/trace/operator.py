"""How an operator is defined: `@op` on a NumPy reference, `@function` on a composition.

The decorated function is the whole definition: its signature is PyTorch's, its docstring the
documentation, its body the reference. Annotations say what each parameter is (see `KINDS`). Methods,
in-place and `out=` forms, aliases and the public namespaces are derived here, in `PUBLISHED`.
"""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType
from typing import Any

from .meta import inference_caches

# Names used in operators' annotations (read as strings).
Tensor = IntTensor = BoolTensor = Tensors = IntTensors = Any
Scalar = Any
Size = Any
Generator = Any

TENSOR, OPTIONAL, LIST, SCALAR, RUNTIME, SIZE, STATIC = range(7)
KINDS = {
    "Tensor": TENSOR,
    "IntTensor": TENSOR,
    "BoolTensor": TENSOR,
    "Tensor | None": OPTIONAL,
    "IntTensor | None": OPTIONAL,
    "BoolTensor | None": OPTIONAL,
    "Tensors": LIST,
    "IntTensors": LIST,
    "Scalar": SCALAR,
    "Generator": RUNTIME,
    "Generator | None": RUNTIME,
    "Size": SIZE,
}
CAST = {"Tensor", "Tensor | None", "Tensors"}  # the parameters that `compute` converts

PUBLISHED: dict[str, dict[str, Any]] = {
    name: {} for name in ("torch", "Tensor", "nn.functional", "linalg", "special", "fft")
}
OPERATORS: dict[str, Operator] = {}
MAKERS: dict[str, Callable] = {}  # of public functions: forms.py and hot.py, which build on this file


class GradientRule:
    """The gradient for one input, or jointly for several: `fn` and what it reads.

    reads: for each of fn's parameters a pair: the name of what it is (g, out, out_meta, need), or
    "value" or "meta" and the number of an argument of the operator, or "one" and the number of an
    output (named as in the operator's `returns`, or out0, out1, ...: only that one is saved).
    """

    __slots__ = ("fn", "params", "joint", "reads", "saves", "saves_out", "some")

    def __init__(self, params, fn, names, returns=()):
        self.joint = isinstance(params, tuple)
        self.params = tuple(names.index(p) for p in (params if self.joint else (params,)))
        self.fn = fn
        code = fn.__code__
        reads = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
        found: list[tuple[str, int]] = []
        for r in reads:
            if r in ("g", "out", "out_meta", "need"):
                found.append((r, -1))
            elif r.startswith("out") and r[3:].isdigit():
                found.append(("one", int(r[3:])))
            elif r in names:
                found.append(("value", names.index(r)))
            elif r.removesuffix("_meta") in names:
                found.append(("meta", names.index(r.removesuffix("_meta"))))
            elif r in returns:
                found.append(("one", returns.index(r)))
            else:
                raise TypeError(f"gradient reads unknown '{r}'; parameters are {names}")
        self.reads = tuple(found)
        self.saves = tuple(i for what, i in found if what == "value")
        self.some = tuple(i for what, i in found if what == "one")
        self.saves_out = "out" in reads or bool(self.some)

    def outputs(self, v) -> tuple:
        """The outputs of a node `v` of the operator whose values `fn` reads."""
        if not self.saves_out:
            return ()
        if self.some:
            return tuple([v.outs[i] for i in self.some])
        return v.outs or (v,)


class Operator:
    """An operator's whole definition, as the layers below need it."""

    __slots__ = (
        "name",
        "names",
        "kinds",
        "casts",
        "defaults",
        "rule",
        "compute",
        "definition",  # the decorated function
        "reference",  # the same, with all parameters positional
        "gradients",
        "view",
        "random",
        "mutates",
        "returns",
        "record",
        "public",  # the function that users know it by
        "bare",
        "tensor_params",
        "ufunc",
        "saves_first",
        "numbers",  # which operands may be Python numbers, see `op`
        "api",
        "inferred",
        "saving",
        "slow_miss",
        "several",  # has several outputs (known from the first call)
        "lower",  # its loops or kernels, where the reference cannot be followed
    )

    def __repr__(self) -> str:
        return self.name


def _unary_ufunc(input):
    return np.f(input)  # noqa: F821 - a template, never run


def _binary_ufunc(input, other):
    return np.f(input, other)  # noqa: F821 - a template, never run


_UFUNC_BODIES = {_unary_ufunc.__code__.co_code, _binary_ufunc.__code__.co_code}


def _as_ufunc(fn):
    """The NumPy ufunc if the reference is just one call of it on all its parameters, else None.

    Such an operator is called without the wrapper and may write into memory that is free.
    """
    code = fn.__code__
    if code.co_code in _UFUNC_BODIES and code.co_names[:1] == ("np",):
        import numpy as np

        f = getattr(np, code.co_names[1], None)
        if isinstance(f, np.ufunc) and f.nin == code.co_argcount and f.nout == 1:
            return f
    return None


def _positional(fn):
    """`fn` with its keyword-only parameters made positional, as programs call it."""
    code = fn.__code__
    if not code.co_kwonlyargcount:
        return fn
    total = code.co_argcount + code.co_kwonlyargcount
    return FunctionType(
        code.replace(co_argcount=total, co_kwonlyargcount=0), fn.__globals__, fn.__name__, None,
        fn.__closure__,
    )


def op(
    rule: Callable | None,
    gradient: dict | None = None,
    *,
    compute: str = "wide",
    api: str = "torch Tensor",
    aliases: tuple[str, ...] = (),
    inplace: bool = False,
    view: bool = False,
    random: bool = False,
    mutates: tuple[str, ...] = (),
    returns: tuple[str, ...] | None = None,
    numbers: str = "other",
    lower: Callable | str | None = None,
) -> Callable:
    """Define an operator by its NumPy reference.

    rule: shape and dtype rule, called with Metas in place of tensors.
    gradient: {parameter or tuple of parameters: function of what it reads}.
    compute: dtype the reference computes in: "wide" (half types become float32), "result",
        "common" or "storage" (as stored).
    api, aliases: the namespaces and further names under which it is published.
    inplace: also publish `name_`. view: the result shares the input's memory. random: impure.
    mutates: the parameters that the reference writes into. returns: names of several outputs.
    numbers: which operands may be Python numbers: "other" than the first, "any" (but one), "all" or
        none ("").
    lower: what is compiled, where the reference cannot be followed by symbols: a function
        (`compile/lowering.py`), or the name of an elementwise function of the compiler.
    """

    def define(fn: FunctionType):
        o = Operator()
        code = fn.__code__
        o.name = fn.__name__
        o.names = names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
        notes = fn.__annotations__
        o.kinds = tuple(KINDS.get(notes.get(n, ""), STATIC) for n in names)
        o.casts = tuple(notes.get(n, "") in CAST for n in names)
        o.rule, o.compute, o.definition, o.reference = rule, compute, fn, _positional(fn)
        o.view, o.random, o.returns, o.api = view, random, returns, api
        o.lower = lower
        o.mutates = tuple(names.index(m) for m in mutates)
        o.gradients = tuple(GradientRule(p, f, names, returns or ()) for p, f in (gradient or {}).items())
        o.tensor_params = tuple(
            i for i, k in enumerate(o.kinds) if k in (TENSOR, OPTIONAL, LIST)
        )
        o.saves_first = any(0 in r.saves for r in o.gradients)
        o.ufunc = _as_ufunc(fn)
        o.inferred, o.saving, o.several = {}, {}, returns is not None
        inference_caches.append(o.inferred)
        o.slow_miss = bool(
            random or mutates or returns or {LIST, SCALAR, RUNTIME} & set(o.kinds)
        )
        o.numbers = numbers if compute in ("result", "common") else ""
        if o.name in OPERATORS:
            raise ValueError(f"operator {o.name!r} is defined twice, now in {fn.__module__}")
        OPERATORS[o.name] = o
        public = MAKERS["recorder"](o, fn)
        o.record, o.public, o.bare = public, public, None
        _publish(public, o.name, api, aliases, inplace, o.saves_first)
        return public

    return define


def function(
    api: str = "torch Tensor",
    *,
    aliases: tuple[str, ...] = (),
    inplace: bool = False,
    out: bool = False,
) -> Callable:
    """Publish a composition of operators: it has no trace node of its own.

    out: add an `out=` keyword. inplace: also publish `name_` as a method.
    """

    def define(fn: FunctionType):
        public = MAKERS["composite"](fn, out)
        _publish(public, fn.__name__, api, aliases, inplace, True)
        return public

    return define


def _publish(public, name, api, aliases, inplace, saves_first):
    for space in api.split():
        for n in (name, *aliases):
            PUBLISHED[space][n] = public
    if inplace:
        for n in (name, *aliases):
            form = MAKERS["inplace_form"](public, n, saves_first)
            for space in api.split():
                PUBLISHED[space].setdefault(n + "_", form)
