"""From loops to machine code: an LLVM IR builder, the target, vector maths, the object cache.

In: loop nests and kernel templates, as calls of `builder.Function`. Out: addresses of native functions
(`objects.load`). LLVM's optimisation passes are not run: vectors, unrolling and hoisting are written
out here, which compiles several times faster and runs as well. Read `builder.py` first.
"""
