"""The hot path: a recorder compiled for each operator's signature, at its first call.

A known operation costs one dictionary lookup and one new handle. `record.record` is the plain version
of the same, which this must agree with: everything unusual is handed to it.

The order of the last statements of a compiled recorder matters: between the lookup and `ts.append`
there is no call, so no other thread can run there (see `segments.end_segment`).
"""

from __future__ import annotations

from types import FunctionType

from . import overrides
from .forms import finish, general
from .operator import LIST, OPTIONAL, RUNTIME, SCALAR, SIZE, TENSOR, Operator
from .record import DEFAULT_GENERATOR, NUMBERS, missed, record
from .segments import enter
from .tensor import Tensor
from .trie import RECORDER

new = object.__new__
HOOKED = overrides.ACTIVE
USED = (DEFAULT_GENERATOR, RECORDER, Tensor, enter, finish, general, missed, record)  # by compiled code

_TEMPLATE = """
def {name}({signature}):
    {guard}tr = RECORDER.tr
    t = new(Tensor)
    t._tr = tr
    try:
        {lookup}
    except KeyError:
        return missed(OP_{name}, tr, k, ({arguments}))
    except (TypeError, AttributeError):
        return record(OP_{name}, ({arguments}))
    {scalars}tr.st = v
    t._s = v
    tr.ts.append(t)
    return {result}
"""

# One operand may be a Python number: its type is the key, its value a runtime scalar.
_WITH_NUMBER = """{operands}c = type({number})
        if c is Tensor:
            k = (OP_{name}, {before}{number}._s if {number}._tr is tr else enter(tr, {number}), {after})
            st = tr.st
            v = st.first if k == st.first_key else st.next[k]
        elif c is float or c is int:
            k = (OP_{name}, {before}c, {after})
            st = tr.st
            v = st.first if k == st.first_key else st.next[k]
            tr.scalars.append({number})
        else:
            k = (OP_{name}, {before}{number}._s if {number}._tr is tr else enter(tr, {number}), {after})
            st = tr.st
            v = st.first if k == st.first_key else st.next[k]"""


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


def _takes_out(o: Operator) -> bool:
    spaces = o.api.split()
    return not o.view and not o.mutates and bool({"torch", "linalg", "special", "fft"} & set(spaces))


def _source(o: Operator, fn, bare: bool) -> str:
    if o.mutates:
        names = ", ".join(o.names)
        return f"def {o.name}({_signature(o, fn, -1)}): return record(OP_{o.name}, ({names},))"
    star = next((i for i, k in enumerate(o.kinds) if k == SIZE), -1)
    if star >= 0 and star != fn.__code__.co_argcount - 1:
        star = -1
    signature = _signature(o, fn, star)
    guards, out = (["True"] if HOOKED[0] else []), "None"
    if _takes_out(o) and not bare:
        if "*" not in signature:
            signature += ", *" if signature else "*"
        signature += ", out=None"
        guards.append("out is not None")
        out = "out"
    arguments = list(o.names)
    if star >= 0:
        size = o.names[star]
        guards.insert(0, f"{size} is not None or len(_{size}) == 1 and type(_{size}[0]) is not int")
        arguments[star] = f"{size} if {size} is not None else _{size}"
    given = "".join(f"{n}, " for n in arguments)
    operands, key, scalars = [], [], []
    able = [i for i, k in enumerate(o.kinds) if k == TENSOR and i and o.numbers and o.casts[i]]
    number = able[0] if len(able) == 1 else None
    for i, (n, kind) in enumerate(zip(o.names, o.kinds, strict=True)):
        node = f"({n}._s if {n}._tr is tr else enter(tr, {n}))"
        k = f"k{i}"
        if i == number:
            k = "NUMBER"
        elif i in able:
            operands.append(f"k{i} = {n}.__class__")
            operands.append(f"if k{i} is not float and k{i} is not int: k{i} = {node}")
            scalars.append(f"if k{i} is float or k{i} is int: tr.scalars.append({n})")
        elif kind == TENSOR and not i and o.view:  # memory that NumPy sees is another path
            operands.append(f"if {n}._tr is not tr: return record(OP_{o.name}, ({given}))")
            operands.append(f"k{i} = {n}._s")
        elif kind == TENSOR:
            operands.append(f"k{i} = {node}")
        elif kind == OPTIONAL:
            operands.append(f"k{i} = None if {n} is None else {node}")
        elif kind == LIST:
            nodes = f"[x._s if x._tr is tr else enter(tr, x) for x in {n}]"
            operands.append(f"k{i} = tuple({nodes})")
        elif kind == SCALAR:
            operands.append(f"k{i} = number_type({n})")
            scalars.append(f"tr.scalars.append({n})")
        elif kind == RUNTIME:
            operands.append(f"if {n} is None: {n} = DEFAULT_GENERATOR[0]")
            scalars.append(f"tr.scalars.append({n})")
            continue
        else:
            k = "_" + n if i == star else n
        key.append(k)
    # enter() may end a segment, so the operands are all there before the state is read
    result = "t"
    if o.returns is not None or o.view:
        result = f"finish(OP_{o.name}, tr, t, {o.names[0] if o.names else 'None'})"
    indent = "\n        "
    lines = "".join(line + indent for line in operands)
    if number is None:
        lookup = f"{lines}k = (OP_{o.name}, {''.join(x + ', ' for x in key)}){indent}st = tr.st{indent}v = st.first if k == st.first_key else st.next[k]"
    else:
        at = key.index("NUMBER")
        lookup = _WITH_NUMBER.format(
            operands=lines, name=o.name, number=o.names[number],
            before="".join(x + ", " for x in key[:at]),
            after="".join(x + ", " for x in key[at + 1:]),
        )
    guard = ""
    if guards:
        guard = f"if {' or '.join(guards)}: return general(OP_{o.name}, ({given}), {out})\n    "
    return _TEMPLATE.format(
        name=o.name,
        signature=signature,
        guard=guard,
        arguments=given,
        lookup=lookup,
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
    space: dict = {}
    exec(compile(_source(o, fn, bare), f"<rushlight {o.name}>", "exec"), env, space)
    made = space[o.name]
    stub = o.bare if bare else o.record
    stub.__defaults__, stub.__kwdefaults__ = made.__defaults__, made.__kwdefaults__
    stub.__code__ = made.__code__
    return stub


def recompile() -> None:
    """Forget all compiled recorders: from now on calls look for overriding subclasses first."""
    from .operator import OPERATORS

    for o in OPERATORS.values():
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
