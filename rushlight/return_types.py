"""torch.return_types: the named tuples that operators with several results return."""


def __getattr__(name: str):
    from .trace.forms import result_type
    from .trace.operator import OPERATORS

    for key in (name, "_" + name, name + "_dim", "_" + name + "_dim"):
        o = OPERATORS.get(key)
        if o is not None and o.returns:
            return result_type(o)
    raise AttributeError(f"torch.return_types has no '{name}'")
