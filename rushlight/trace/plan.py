"""Plans: which operations of a stretch of the trie are differentiated, and what that must have saved."""

from __future__ import annotations

import functools

from . import trie
from .operator import Operator
from .record import needed_rules
from .trie import FUNCTION, GET, HAS_HISTORY, LEAF, REBASE, RESTRIDE, VARIABLE, WRITE

FUNCTION_OUT = trie.Special("function_out", shares=True)  # output `number` of FUNCTION node ins[1]


WRAP_NUMBERS = ("mul", "true_divide")  # PyTorch makes a tensor of a number that is an operand


class Plan:
    """Which operations to differentiate, newest first, and the saved values that takes.

    saves: {saved value: slot of the newest operation that reads it}. savers: the operations that read
    saved values. swept: those whose saved tensors are gone afterwards; Python numbers stay, except where
    PyTorch makes tensors of them.
    """

    __slots__ = ("nodes", "rules", "saves", "savers", "swept", "functions", "wanted", "freeing")


def op_node(v):
    """The node of the operation that made value `v`."""
    return v.ins[0] if v.op is GET else v


def _inputs(v, rules):
    """The inputs of operation `v` that gradients flow to; `rules` if it is an operator's."""
    op = v.op
    if rules is not None:
        found = []
        for r in rules:
            for i in r.params:
                x = v.args[i]
                if x.__class__ is trie.Node:
                    if x.rg:
                        found.append(x)
                elif x.__class__ is tuple:
                    found.extend([n for n in x if n.__class__ is trie.Node and n.rg])
        return found
    if op is WRITE:
        return (v.ins[1],) if v.ins[1].rg else ()
    if op is REBASE:
        return () if v.args[2] is None else [i for i in v.ins if i.rg]
    if op is FUNCTION_OUT:
        return (v.ins[1],)
    if op is RESTRIDE or op is FUNCTION:
        return [i for i in v.ins if i.rg]
    return ()


AS_TENSORS = {"_add", "_sub", "mul", "true_divide", "_where"}  # their numbers count as inputs


@functools.cache
def differentiable(op) -> tuple[int, ...]:
    """The parameters of an operator that have gradients, in order."""
    return tuple(sorted({i for r in op.gradients for i in r.params}))


def edges(v):
    """The values that operation `v` was given, in PyTorch's order; None for those without a node."""
    op = v.op
    if op.__class__ is Operator:
        found = []
        for i in differentiable(op):
            x = v.args[i]
            if x.__class__ is tuple:
                found.extend(x)
            elif x is None:
                found.append(None)
            elif x.__class__ is trie.Node and (x.op is not trie.SCALAR or op.name in AS_TENSORS):
                found.append(None if x.op is trie.SCALAR else x)
        return found
    if op is REBASE:  # what was written there, instead of the node of writing
        return () if v.args[2] is None else (v.ins[0], v.ins[1].ins[1])
    return v.ins


def make_plan(roots, wanted=None) -> Plan:
    """The plan for gradients of the values `roots`; only what leads to `wanted`, if given."""
    found, rules, stack = {}, {}, [op_node(r) for r in roots]
    while stack:
        v = stack.pop()
        if v in found:
            continue
        needed = None
        if v.op.__class__ is Operator:
            needed = rules[v] = needed_rules(v)
        inputs = found[v] = _inputs(v, needed)
        for i in inputs:
            stack.append(i.ins[0] if i.op is GET else i)
    order = sorted(found, key=_newest_first)
    if wanted is not None:
        leads = set()
        for v in reversed(order):
            outs = v.outs or (v,)
            if (
                any(o in wanted for o in outs)
                or any(op_node(i) in leads for i in found[v])
                or (v.op is LEAF and v.args[0] == HAS_HISTORY and None in wanted)
            ):
                leads.add(v)
        order = [v for v in order if v in leads]
        for v, all_rules in rules.items():  # (those of operations that do not lead there go unused)
            rules[v] = [r for r in all_rules if any(op_node(n) in leads for n in _inputs(v, (r,)))]
    p = Plan()
    p.nodes = order
    p.rules, saves, savers, swept, p.functions = {}, {}, set(), set(), False
    for v in order:
        needed = rules.get(v)
        if needed is not None:
            p.rules[v] = needed
            for r in needed:
                for n in rule_saves(v, r):
                    savers.add(v)
                    if n.op is not trie.SCALAR or v.op.name in WRAP_NUMBERS:
                        swept.add(v)
                    saves.setdefault(n, v.slot)
        elif v.op is FUNCTION:
            p.functions = True
    p.saves, p.savers, p.swept = saves, frozenset(savers), frozenset(swept)
    p.wanted = wanted
    p.freeing = {}
    return p


def _newest_first(v):
    return -v.slot


def rule_saves(v, r):
    """The nodes whose values gradient rule `r` of operation `v` reads."""
    for i in r.saves:
        x = v.args[i]
        if x.__class__ is trie.Node:
            yield x
        elif x.__class__ is tuple:
            for n in x:
                if n.__class__ is trie.Node:
                    yield n
    yield from r.outputs(v)


def saved_nodes(values, freed):
    """What must stay for a later backward() through `values`: used when a Program is built."""
    roots = [v for v in values if v.rg and v.op is not LEAF and v.op is not VARIABLE]
    if not roots:
        return ()
    plan = make_plan(roots)
    keep: dict = {}
    for v, rules in plan.rules.items():
        if v in freed:
            continue
        for r in rules:
            for n in rule_saves(v, r):
                keep[n] = None
    return tuple(keep)
