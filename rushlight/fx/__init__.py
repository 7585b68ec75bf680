"""torch.fx: functions and modules as graphs that a program can read and rewrite.

A `Tracer` calls a module with proxies; what they are used for becomes a `Graph` of `Node`s; a `GraphModule` is the
module of that graph, with code made from it. Nothing here takes part in running ordinary programs: those are
recorded and compiled as they run (`trace/`, `compile/`). Read `node.py`, then `graph.py`.
"""

from __future__ import annotations

from . import graph, graph_module, interpreter, node, proxy, subgraph_rewriter
from ._symbolic_trace import PH, ProxyableClassMeta, Tracer, symbolic_trace, wrap
from .graph import CodeGen, Graph
from .graph_module import GraphModule
from .interpreter import Interpreter, Transformer
from .node import Node, has_side_effect, map_arg
from .proxy import Proxy
from .subgraph_rewriter import replace_pattern

__all__ = ["CodeGen", "Graph", "GraphModule", "Interpreter", "Node", "PH", "Proxy", "ProxyableClassMeta", "Tracer",
           "Transformer", "graph", "graph_module", "has_side_effect", "interpreter", "map_arg", "node", "proxy",
           "replace_pattern", "subgraph_rewriter", "symbolic_trace", "wrap"]
