"""Tier 1: programs that keep coming back become native code.

In: a `Program` (instructions with operands and liveness, `interpret/program.py`). Out: the same program
as a list of kernels with a memory plan, run by one native call.
"""
