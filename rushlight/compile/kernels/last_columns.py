"""The last columns of a product by tiles, where they fill little of a vector: as dots along k.

A tile takes as long for one column of its last vector as for all. An image of 7x7 has 49 columns, three
vectors and one column: that one is turned into a row, dense along k as the rows of A are, and its products
with these are `thin.Dots`, which cost as many columns as there are.
"""

from __future__ import annotations

import numpy as np

from ..llvm.builder import Function, Library, Operand
from .micro import Tiles
from .pack import call_pack
from .thin import COLUMNS, Dots


class LastColumns:
    """What a kernel on tiles needs for few last columns."""

    def __init__(self, tiles: Tiles):
        self.t = tiles
        self.most = most_last(tiles)
        self.dots = Dots(tiles.target, np.dtype(tiles.dtype))

    def library(self) -> Library:
        """What a module needs besides `packing`."""
        return self.dots.library()

    def extra(self) -> str:
        """The module's further text."""
        return self.dots.extra()

    def count(self, f: Function, columns: Operand) -> Operand:
        """How many of so many columns are made by dots."""
        rest = f.rem(columns, self.t.lanes)
        return f.op(f"select i1 {f.compare('sle', rest, self.most)}, i64 {rest}, i64 0")

    def start(self, f: Function) -> None:
        """At the function's entry."""
        self.block = self.dots.block(f)

    def turn(self, f: Function, out: str, source: str, source_row: Operand, k: Operand,
             columns: Operand) -> None:
        """Write the columns of a panel, k rows at `source`, as rows at `out` (`turned_bytes`)."""
        item = self.t.itemsize
        call_pack(f, "pack", out, self._row(f, k), source, item, source_row, columns, k)

    def multiply(self, f: Function, rows: Operand, columns: Operand, a: str, a_row: Operand, turned: str,
                 c: str, c_row: Operand, k: Operand, add: Operand) -> None:
        """C[:, last columns] = A @ them, or += if `add` is 1; A is dense along k."""
        self.dots.set(f, self.block, {
            "a_row": self._row(f, k), "b_column": a_row, "c_row": self.t.itemsize, "c_column": c_row,
            "accumulate": add,
        })

        def some(i):
            left, out = f.at(a, f.mul(i, a_row)), f.at(c, f.mul(i, c_row))
            self.dots.call(f, columns, turned, left, out, k, f.minimum(COLUMNS, f.sub(rows, i)),
                           self.block)

        f.loop(0, rows, COLUMNS, some)

    def _row(self, f: Function, k: Operand) -> Operand:
        """Bytes of a turned column."""
        lanes = self.t.lanes
        return f.mul(f.op(f"and i64 {f.add(k, lanes - 1)}, {-lanes}"), self.t.itemsize)


def most_last(tiles: Tiles) -> int:
    """Columns beyond whole vectors that are made by dots: a quarter of a vector at most."""
    return min(4, tiles.lanes // 4)


def turned_bytes(tiles: Tiles, k: int) -> int:
    """Memory for turned columns of k rows: as many as there are lanes are written."""
    return tiles.lanes * -(-k // tiles.lanes) * tiles.lanes * tiles.itemsize


def vectors_of(tiles: Tiles, columns: int) -> float:
    """How many vectors of tiles take as long as so many columns."""
    whole, rest = divmod(columns, tiles.lanes)
    return whole + (rest / tiles.lanes + 0.25 if 0 < rest <= most_last(tiles) else rest > 0)
