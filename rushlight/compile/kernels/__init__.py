"""The shapes of loops that need a hand: matrix products, convolution, attention, scans, sorting.

Each file writes the LLVM IR of one family (once for a target and dtype: sizes and strides are arguments)
and plans calls of it: which function, how many chunks, which words in its argument block.
"""
