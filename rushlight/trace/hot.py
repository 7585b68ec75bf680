"""The hot path: a recorder compiled for each operator's signature, at its first call.

A known operation costs one dictionary lookup and one new handle. `record.record` is the plain version
of the same, which this must agree with: everything unusual is handed to it.

The order of the last statements of a compiled recorder matters: between the lookup and `ts.append`
there is no call, so no other thread can run there (see `segments.end_segment`).
"""

from __future__ import annotations

from types import FunctionType

from ..interpret import program
from . import autocast, overrides
from .forms import NUMPY_NAMES, finish, general
from .operator import LIST, MAKERS, OPTIONAL, RUNTIME, SCALAR, SIZE, TENSOR, Operator
from .record import DEFAULT_GENERATOR, NUMBERS, missed, operand, record, view
from .segments import enter
from .tensor import Tensor
from .trie import LEAF, RECORDER

new = object.__new__
NATIVE: list = [None]  # makes recorders in native code, see `native_hot.py`
HOOKED = overrides.ACTIVE
USED = (DEFAULT_GENERATOR, LEAF, RECORDER, Tensor, enter, finish, general, missed, operand, record, view)  # by compiled code

_GUARDED = """
def {name}({signature}):
    {guard}return NATIVE_{name}({given})
"""

_TEMPLATE = """
def {name}({signature}):
    {guard}_tr_ = RECORDER.tr
    _t_ = new(Tensor)
    _t_._tr = _tr_
    {before}try:
        {lookup}
    except (TypeError, AttributeError):
        return {unusual}(OP_{name}, ({arguments}))
    {after}if _v_ is None:
        return missed(OP_{name}, _tr_, _k_, ({arguments}))
    {scalars}_tr_.st = _v_
    _t_._s = _v_
    _tr_.ts.append(_t_)
    return {result}
"""

# One operand may be a Python number: its type is the key, its value a runtime scalar.
_WITH_NUMBER = """{operands}_c_ = type({number})
        if _c_ is Tensor:
            _k_ = (OP_{name}, {before}{number}._s if {number}._tr is _tr_ else enter(_tr_, {number}), {after})
            _st_ = _tr_.st
            _v_ = _st_.first if _k_ == _st_.first_key else _st_.next.get(_k_)
        elif _c_ is float or _c_ is int:
            _k_ = (OP_{name}, {before}_c_, {after})
            _st_ = _tr_.st
            _v_ = _st_.first if _k_ == _st_.first_key else _st_.next.get(_k_)
            if _v_ is not None:
                _tr_.scalars.append({number})
        else:
            _k_ = (OP_{name}, {before}{number}._s if {number}._tr is _tr_ else enter(_tr_, {number}), {after})
            _st_ = _tr_.st
            _v_ = _st_.first if _k_ == _st_.first_key else _st_.next.get(_k_)"""


def _signature(o: Operator, fn, star: int) -> str:
    code = fn.__code__
    positional = code.co_argcount
    defaults = fn.__defaults__ or ()
    first_default = positional - len(defaults)
    parts = []
    for i, n in enumerate(o.names):
        if i == star:
            parts.append("*_" + n)
            parts.append(n + "=None")
            continue
        if i == positional and not any(p.startswith("*") for p in parts):
            parts.append("*")
        if first_default <= i < positional:
            parts.append(f"{n}=DEFAULTS_{o.name}[{i - first_default}]")
        elif i >= positional and n in (fn.__kwdefaults__ or {}):
            parts.append(f"{n}=KWDEFAULTS_{o.name}[{n!r}]")
        else:
            parts.append(n)
    return ", ".join(parts)


def _renamed(o: Operator, fn, signature: str) -> tuple[str, str]:
    """The signature with NumPy's names of optional parameters, and the statements that read them."""
    optional = o.names[fn.__code__.co_argcount - len(fn.__defaults__ or ()) : fn.__code__.co_argcount]
    statements = ""
    for other, name in NUMPY_NAMES.items():
        if name in optional:
            signature += f"{'' if '*' in signature else ', *'}, {other}=None"
            statements += f"if {other} is not None: {name} = {other}\n    "
    return signature, statements


WITH_OUT = {"torch", "linalg", "special", "fft", "nn.functional"}


def _takes_out(o: Operator) -> bool:
    spaces = o.api.split()
    return not o.view and not o.mutates and bool(WITH_OUT & set(spaces))


PUBLIC, BARE, GUARDED, PLAIN = range(4)


def _source(o: Operator, form: int) -> str:
    """The recorder's text, in four forms.

    PUBLIC: with keywords and checks. BARE: for Python's operators. GUARDED: public, but what is usual goes to
    native code. PLAIN: what native code leaves to Python, with all arguments positional.
    """
    fn, bare = o.definition, form == BARE
    if o.mutates:
        names = ", ".join(o.names)
        return f"def {o.name}({_signature(o, fn, -1)}): return record(OP_{o.name}, ({names},))"
    star = next((i for i, k in enumerate(o.kinds) if k == SIZE), -1)
    if star >= 0 and star != fn.__code__.co_argcount - 1:
        star = -1
    if form == PLAIN:
        star = -1
    signature = ", ".join(o.names) if form == PLAIN else _signature(o, fn, star)
    guards, out = (["True"] if HOOKED[0] else []), "None"
    if autocast.USED[0] and o.name in autocast.POLICY:
        guards.append("RECORDER.tr.autocast is not None")
    if form == PLAIN:
        guards = []
    elif _takes_out(o) and not bare:
        if "*" not in signature:
            signature += ", *" if signature else "*"
        signature += ", out=None"
        guards.append("out is not None")
        out = "out"
    signature, renames = (signature, "") if bare or form == PLAIN else _renamed(o, fn, signature)
    arguments = list(o.names)
    if star >= 0:
        size = o.names[star]
        guards.insert(0, f"{size} is not None or len(_{size}) == 1 and type(_{size}[0]) is not int")
        arguments[star] = f"{size} if {size} is not None else _{size}"
    given = "".join(f"{n}, " for n in arguments)
    if form == GUARDED:
        guard = f"if {' or '.join(guards)}: return general(OP_{o.name}, ({given}), {out})\n    " if guards else ""
        names = "".join(f"_{n}, " if i == star else f"{n}, " for i, n in enumerate(o.names))
        return _GUARDED.format(name=o.name, signature=signature, guard=renames + guard, given=names)
    operands, key, scalars = [], [], []
    able = [i for i, k in enumerate(o.kinds) if k == TENSOR and i and o.numbers and o.casts[i]]
    number = able[0] if len(able) == 1 else None
    for i, (n, kind) in enumerate(zip(o.names, o.kinds, strict=True)):
        node = f"({n}._s if {n}._tr is _tr_ else enter(_tr_, {n}))"
        k = f"k{i}_"
        if i == number:
            k = "NUMBER"
        elif i in able:
            operands.append(f"k{i}_ = {n}.__class__")
            operands.append(f"if k{i}_ is not float and k{i}_ is not int: k{i}_ = {node}")
            scalars.append(f"if k{i}_ is float or k{i}_ is int: _tr_.scalars.append({n})")
        elif kind == TENSOR and not i and o.view:  # memory that is there: no path at all
            memory = f"{n}._tr is not _tr_ or {n}._s.op is LEAF and not {n}._s.rg"
            operands.append(f"if {memory}: return view(OP_{o.name}, ({given}))")
            operands.append(f"k{i}_ = {n}._s")
        elif kind == TENSOR:
            operands.append(f"k{i}_ = {node}")
        elif kind == OPTIONAL:
            operands.append(f"k{i}_ = None if {n} is None else {node}")
        elif kind == LIST:
            nodes = f"[x._s if x._tr is _tr_ else enter(_tr_, x) for x in {n}]"
            operands.append(f"k{i}_ = tuple({nodes})")
        elif kind == SCALAR:
            operands.append(f"k{i}_ = number_type({n})")
            scalars.append(f"_tr_.scalars.append({n})")
        elif kind == RUNTIME:
            operands.append(f"if {n} is None: {n} = DEFAULT_GENERATOR[0]")
            scalars.append(f"_tr_.scalars.append({n})")
            continue
        else:
            k = "_" + n if i == star else n
        key.append(k)
    # enter() may end a segment, so the operands are all there before the state is read
    result = "_t_"
    if o.several or o.view:
        result = f"finish(OP_{o.name}, _tr_, _t_, {o.names[0] if o.names else 'None'})"
    indent = "\n        "
    lines = "".join(line + indent for line in operands)
    if number is None:
        lookup = f"{lines}_k_ = (OP_{o.name}, {''.join(x + ', ' for x in key)}){indent}_st_ = _tr_.st{indent}_v_ = _st_.first if _k_ == _st_.first_key else _st_.next.get(_k_)"
    else:
        at = key.index("NUMBER")
        lookup = _WITH_NUMBER.format(
            operands=lines, name=o.name, number=o.names[number],
            before="".join(x + ", " for x in key[:at]),
            after="".join(x + ", " for x in key[at + 1:]),
        )
    guard = before = after = ""
    if len([k for k in o.kinds if k in (TENSOR, OPTIONAL, LIST)]) > 1 or LIST in o.kinds:
        before = "_n_ = _tr_.serial\n    "  # a destructor may have ended the segment between two operands
        after = f"if _tr_.serial != _n_: return {'operand' if bare else 'record'}(OP_{o.name}, ({given}))\n    "
    if guards:
        guard = f"if {' or '.join(guards)}: return general(OP_{o.name}, ({given}), {out}, {bare})\n    "
    return _TEMPLATE.format(
        name=o.name,
        signature=signature,
        guard=renames + guard,
        arguments=given,
        lookup=lookup,
        unusual="operand" if bare else "record",
        before=before,
        after=after,
        scalars="".join(line + "\n    " for line in scalars),
        result=result,
    )


def number_type(x):
    """The type of a Python number, as a key; TypeError for anything else."""
    c = x.__class__
    if c in NUMBERS:
        return c
    raise TypeError


def _stub_code():
    def stub(*args, _op=None, _bare=False, **kwargs):
        return _compile(_op, _bare)(*args, **kwargs)

    return stub.__code__


_STUB = _stub_code()


def _compile(o: Operator, bare: bool):
    """Replace the stub's code by that of the operator's own recorder."""
    fn = o.definition
    env = globals()
    env[f"OP_{o.name}"] = o
    env[f"DEFAULTS_{o.name}"] = fn.__defaults__
    env[f"KWDEFAULTS_{o.name}"] = fn.__kwdefaults__
    found = made(o, BARE if bare else PUBLIC)
    stub = o.bare if bare else o.record
    stub.__defaults__, stub.__kwdefaults__ = found.__defaults__, found.__kwdefaults__
    stub.__code__ = found.__code__
    if NATIVE[0] is not None:
        NATIVE[0].take(o, bare)
    return stub


def made(o: Operator, form: int):
    """An operator's recorder in one of its forms."""
    space: dict = {}
    exec(compile(_source(o, form), f"<rushlight {o.name}>", "exec"), globals(), space)
    return space[o.name]


def guarded_code(o: Operator, native):
    """The code of an operator's public recorder that leaves what is usual to the function `native`."""
    globals()[f"NATIVE_{o.name}"] = native
    return made(o, GUARDED).__code__


def compiled(o: Operator, bare: bool) -> bool:
    """Whether a recorder has been called, and so has its own code."""
    stub = o.bare if bare else o.record
    return stub is not None and stub.__code__ is not _STUB


def recompile() -> None:
    """Forget all compiled recorders: from now on calls look for overriding subclasses first."""
    from .operator import OPERATORS

    for o in OPERATORS.values():
        reset(o)


def reset(o: Operator) -> None:
    """Compile an operator's recorders again at their next call."""
    if NATIVE[0] is not None:
        NATIVE[0].release(o)
    for stub, bare in ((o.record, False), (o.bare, True)):
        if stub is not None:
            stub.__code__, stub.__defaults__ = _STUB, None
            stub.__kwdefaults__ = {"_op": o, "_bare": bare}


def operator_form(o: Operator) -> FunctionType:
    """The recorder behind Python's operators (`a * b`): without keywords."""
    if o.bare is None:
        o.bare = recorder(o, o.definition)
        o.bare.__kwdefaults__ = {"_op": o, "_bare": True}
    return o.bare


def recorder(o: Operator, fn) -> FunctionType:
    """The public function of an operator; compiled at its first call."""
    stub = FunctionType(_STUB, globals(), o.name)
    stub.__kwdefaults__ = {"_op": o, "_bare": False}
    stub.__doc__, stub.__wrapped__ = fn.__doc__, fn
    stub.__module__, stub.__qualname__ = fn.__module__, o.name
    stub.__annotations__ = fn.__annotations__
    return stub


MAKERS["recorder"] = recorder


def _load_native(load) -> None:
    from . import native_hot

    native_hot.install(load)


program.AT_START.append(_load_native)
