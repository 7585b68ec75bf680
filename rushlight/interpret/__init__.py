"""Tier 0: run operations with NumPy, one by one (`tier0.py`) or as a whole program (`program.py`).

In: trie nodes, whose operators carry a NumPy reference, and arrays. Out: arrays. Read `tier0.py` first.
"""
