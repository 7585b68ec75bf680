"""What runs compiled programs: the thread pool and the launcher, as LLVM IR; buffers that are reused.

These files are texts and small functions over addresses: `compile/` turns the texts into machine code.
In: a plan (tables of 8-byte words, see `launch.py`). Out: kernels that ran. Read `launch.py` first.
"""
