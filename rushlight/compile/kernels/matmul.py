"""Batched matrix products C = A @ B (+ C) (+ bias), of matrices with any strides: planning.

`plan` turns one product into one or two calls. Three kinds of kernels do the work:

- `tiles` (products.py): blocks of C from register tiles, reading A and B in place or packed.
- `dots` (thin.py): both matrices dense along k, few rows of C: rows of A times rows of B.
- `sweeps` (thin.py): few rows of C, B dense along its columns: C's rows += multiples of B's rows.

A product that has little C but a long k is cut along k: every chunk makes a partial C in a workspace, and
`finish` (finish.py) adds them in order. It also ends products whose C has a half type or odd strides.
Everything here depends on sizes only, never on the number of threads.
"""
