"""The windows of a convolution's input, as rows that register tiles can read.

An image is first *prepared*: rows of some channels are copied to a thread's scratch, with zeros
(for maxima, -inf) around them, and with a stride, columns apart by phase (column mod stride), so
that the inputs of neighbouring outputs are neighbours for every tap. In a prepared channel, tap
(kh, kw) of output pixel (h, w) lies at

    taps[kh, kw] + (h - first h) * row_advance + w elements

*Patches* are then copies: row (channel, tap) holds what that tap meets at consecutive output
pixels, a run of them for each row of the output. All writers here share the words `GEOMETRY`.

A third spatial dimension is the caller's: an image here is one slice of the output's depth, and the
slices of the input's depth that it meets are further channels.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..llvm.builder import Function, Operand, float_literal, splat_literal, vector
from .call import Address
from .micro import Tiles, load_part

GEOMETRY = (
    "x", "x_n", "x_c", "x_d", "x_h", "x_w",  # the input and its strides in bytes
    "depth", "height", "width",  # sizes of the input
    "out_depth", "out_width", "pixels",  # of the output; pixels of one image
    "images", "channels",  # N * out_depth; channels of one group
    "kernel_depth", "kernel_height", "kernel_width", "taps",  # taps = height * width
    "stride_d", "first_d", "step_d",  # input slice = out slice * stride + first + tap * step
    "stride_h", "first_h", "row_step",  # input = row * stride + first; from prepared row to row
    "advance", "row_advance",  # prepared rows from one row of the output to the next; in bytes
    "tap_row", "tap_row_step", "tap_rows",  # prepared rows of the taps
    "stride_w", "first_w", "phases", "needed",  # columns: input of column 0; columns to prepare
    "phase_bytes", "row_bytes", "channel_bytes", "tap_column", "tap_column_step",
    "plain",  # the taps are one and pixels lie densely in the input: nothing is prepared
)
NOWHERE = -(1 << 40)  # a row far outside of every image


class Words:
    """The words of a kernel's argument block as attributes, read once at the function's entry."""

    def __init__(self, f: Function, names: tuple[str, ...], pointers: tuple[str, ...]):
        self._f, self._names, self._pointers = f, names, pointers
        self._head: list[str] = []

    def __getattr__(self, name: str) -> str:
        value, index = f"%{name}.word", self._names.index(name)
        type = "ptr" if name in self._pointers else "i64"
        self._head += [
            f"  %{name}.at = getelementptr i64, ptr %args, i64 {index}",
            f"  {value} = load {type}, ptr %{name}.at, align 8",
        ]
        setattr(self, name, value)
        return value

    def finish(self) -> Function:
        """End the function."""
        self._f.do("ret void")
        self._f.lines[:0] = self._head
        return self._f


@dataclass(frozen=True)
class Axis:
    """A spatial dimension: output position i and tap t meet input i * stride + first + t * step."""

    size: int
    out: int
    kernel: int
    stride: int = 1
    first: int = 0
    step: int = 1

    @property
    def low(self) -> int:
        """The input of output 0 at its lowest tap."""
        return self.first + min(0, (self.kernel - 1) * self.step)

    @property
    def lowest(self) -> int:
        """How far the first tap is above the lowest."""
        return max(0, -(self.kernel - 1) * self.step)

    @property
    def reach(self) -> int:
        """From the lowest tap to the highest."""
        return (self.kernel - 1) * abs(self.step)


@dataclass(frozen=True)
class Image:
    """The input of a convolution and how its output meets it: three axes, the leading ones often 1."""

    x: Address
    strides: tuple[int, ...]  # bytes: N, C, depth, height, width
    batch: int
    channels: int  # of one group
    axes: tuple[Axis, Axis, Axis]

    def flattened(self, itemsize: int) -> tuple[Image, bool]:
        """(with pixels as one row, True) where a pixel of the output is one of the input's."""
        d, h, w = self.axes
        if any(a.kernel != 1 or a.stride != 1 or a.first or a.size != a.out for a in self.axes):
            return self, False
        n, c, sd, sh, sw = self.strides
        if (w.size > 1 and sw != itemsize) or (h.size > 1 and sh != w.size * itemsize) or (
            d.size > 1 and sd != h.size * w.size * itemsize
        ):
            return self, False
        one, row = Axis(1, 1, 1), Axis(d.size * h.size * w.size, d.size * h.size * w.size, 1)
        strides = (n, c, 0, 0, itemsize)
        return Image(self.x, strides, self.batch, self.channels, (one, one, row)), True

    def geometry(self, lanes: int, itemsize: int, rows: int, beyond: int = 0) -> dict:
        """Words for blocks of so many rows of the output; `beyond` columns more are prepared."""
        d, h, w = self.axes
        phases = 1 if w.kernel == 1 else w.stride
        needed = w.out + w.reach // w.stride + beyond
        columns = -(-(needed + lanes - 1) // 4) * 4
        advance = 1 if h.kernel == 1 else h.stride
        row_bytes = columns * phases * itemsize
        prepared = (rows - 1) * advance + h.reach + 1
        taps = h.kernel * w.kernel
        return {
            "x": self.x, **dict(zip(("x_n", "x_c", "x_d", "x_h", "x_w"), self.strides)),
            "depth": d.size, "height": h.size, "width": w.size, "out_depth": d.out,
            "out_width": w.out, "pixels": h.out * w.out, "images": self.batch * d.out,
            "channels": self.channels, "kernel_depth": d.kernel, "kernel_height": h.kernel,
            "kernel_width": w.kernel, "taps": taps, "stride_d": d.stride, "first_d": d.first,
            "step_d": d.step, "stride_h": h.stride, "first_h": h.low,
            "row_step": h.stride // advance, "row_advance": advance * row_bytes,
            "tap_row": h.lowest, "tap_row_step": h.step, "tap_rows": h.reach + 1,
            "advance": advance, "stride_w": w.stride, "first_w": w.low, "phases": phases,
            "needed": needed, "phase_bytes": columns * itemsize, "row_bytes": row_bytes,
            "channel_bytes": prepared * row_bytes, "tap_column": w.lowest,
            "tap_column_step": w.step,
        }


class Windows:
    """Writes the functions that prepare images and copy patches, and calls of them."""

    def __init__(self, tiles: Tiles, names: tuple[str, ...], around: float = 0.0):
        self.t, self.names = tiles, names
        self.v = vector(tiles.type, tiles.lanes)
        self.around = splat_literal(tiles.type, tiles.lanes, float_literal(around, tiles.type))

    def functions(self) -> list[Function]:
        """What a module needs."""
        return [self.fill(), self.runs(), self._patches()]

    # ------------------------------------------------------------ images

    def fill(self) -> Function:
        """Prepare rows of channels: row i comes from the input's row `row` + i * row_step."""
        f = Function(
            "fill", [("ptr", n) for n in ("args", "out", "plane")]
            + [("i64", n) for n in ("channels", "row", "rows")], internal=True, inline=False,
        )
        x, item = Words(f, self.names, ("x",)), self.t.itemsize
        advance = f.mul(x.stride_w, x.x_w)

        def phase(p):
            start = f.add(x.first_w, p)
            low = f.minimum(self._steps_to(f, f.sub(0, start), x.stride_w), x.needed)
            high = f.minimum(self._steps_to(f, f.sub(x.width, start), x.stride_w), x.needed)
            high = f.maximum(low, high)
            moved = f.mul(f.add(start, f.mul(low, x.stride_w)), x.x_w)
            out = f.at("%out", f.mul(p, x.phase_bytes))
            source = f.at("%plane", moved)

            def every(copy):
                def channel(c, out, source):
                    def row(i, number, out):
                        inside = f.op(f"icmp ult i64 {number}, {x.height}")
                        here = f.at(source, f.mul(number, x.x_h))
                        f.branch(
                            inside, lambda: self._row(f, out, here, low, high, x.needed, copy),
                            lambda: self._surround(f, out, 0, x.needed),
                        )
                        return [f.add(number, x.row_step), f.at(out, x.row_bytes)]

                    f.loop(0, "%rows", 1, row, [("i64", "%row"), ("ptr", out)])
                    return [f.at(out, x.channel_bytes), f.at(source, x.x_c)]

                f.loop(0, "%channels", 1, channel, [("ptr", out), ("ptr", source)])

            def apart():
                pairs = f.compare("eq", advance, 2 * item)
                f.branch(
                    pairs, lambda: every(self._copy_second),
                    lambda: every(lambda *a: self._copy_single(*a, advance)),
                )

            f.branch(f.compare("eq", advance, item), lambda: every(self._copy_dense), apart)

        f.loop(0, x.phases, 1, phase, at_least_once=True)
        return x.finish()

    @staticmethod
    def _steps_to(f: Function, distance: Operand, stride: Operand) -> Operand:
        """ceil(distance / stride), not below zero."""
        return f.div(f.add(f.maximum(distance, 0), f.sub(stride, 1)), stride)

    def _surround(self, f: Function, out: str, low: Operand, high: Operand) -> None:
        f.loop(low, high, self.t.lanes, lambda j: f.store(
            self.v, self.around, f.at(out, j, self.t.type)))

    def _row(self, f, out, source, low, high, end, copy) -> None:
        """What is around, what `copy` copies, what is around; up to a vector more is written."""
        self._surround(f, out, 0, low)
        copy(f, f.at(out, low, self.t.type), source, f.sub(high, low))
        self._surround(f, out, high, end)

    def _copy_dense(self, f, out, source, count) -> None:
        t = self.t
        whole = f.op(f"and i64 {count}, {-t.lanes}")
        rest = f.sub(count, whole)
        f.loop(0, whole, t.lanes, lambda j: f.store(
            self.v, f.load(self.v, f.at(source, j, t.type)), f.at(out, j, t.type)))

        def part():
            read = load_part(f, t.target, t.type, t.lanes, f.at(source, whole, t.type), rest)
            f.store(self.v, read, f.at(out, whole, t.type))

        f.branch(f.compare("ne", rest, 0), part)

    def _copy_second(self, f, out, source, count) -> None:
        """Every second element; a vector is read only if an element beyond it is wanted too."""
        t = self.t
        whole = f.op(f"and i64 {f.maximum(f.sub(count, 1), 0)}, {-t.lanes}")
        order = ", ".join(f"i32 {2 * i}" for i in range(t.lanes))

        def step(j):
            at = f.at(source, f.mul(j, 2), t.type)
            a, b = f.load(self.v, at), f.load(self.v, f.at(at, t.lanes, t.type))
            made = f.op(f"shufflevector {self.v} {a}, {self.v} {b}, <{t.lanes} x i32> <{order}>")
            f.store(self.v, made, f.at(out, j, t.type))

        f.loop(0, whole, t.lanes, step)
        self._copy_some(f, out, source, whole, count, 2 * t.itemsize)

    def _copy_single(self, f, out, source, count, advance) -> None:
        self._copy_some(f, out, source, 0, count, advance)

    def _copy_some(self, f, out, source, low, high, advance) -> None:
        t = self.t.type

        def step(j):
            f.store(t, f.load(t, f.at(source, f.mul(j, advance))), f.at(out, j, t))

        f.loop(low, high, 1, step)

    # ------------------------------------------------------------ patches

    def tap_table(self, f: Function, x: Words, table: str) -> None:
        """Write the offsets of the taps in a prepared channel."""

        def row(h, at):
            rows = f.mul(f.add(x.tap_row, f.mul(h, x.tap_row_step)), x.row_bytes)

            def column(w, at):
                moved = f.add(x.tap_column, f.mul(w, x.tap_column_step))
                phase, column = f.rem(moved, x.stride_w), f.div(moved, x.stride_w)
                offset = f.add(rows, f.mul(phase, x.phase_bytes))
                offset = f.add(offset, f.mul(column, self.t.itemsize))
                f.store("i64", offset, at, 8)
                return [f.at(at, 8)]

            return f.loop(0, x.kernel_width, 1, column, [("ptr", at)], at_least_once=True)

        f.loop(0, x.kernel_height, 1, row, [("ptr", table)], at_least_once=True)

    def runs(self) -> Function:
        """Runs of pixels in rows of the output: three words each, offset in a prepared channel and
        in a row of patches, and vectors. Returns their number."""
        f = Function(
            "runs", [("ptr", "args"), ("ptr", "table")]
            + [("i64", n) for n in ("pixel", "count", "row")], "i64", internal=True, inline=False,
        )
        x, t = Words(f, self.names, ("x",)), self.t
        row, column = f.div("%pixel", x.out_width), f.rem("%pixel", x.out_width)
        last = f.div(f.sub(f.add("%pixel", "%count"), 1), x.out_width)
        source = f.add(f.mul(f.sub(row, "%row"), x.row_advance), f.mul(column, t.itemsize))

        def run(i, table, source, column, done):
            length = f.minimum(f.sub(x.out_width, column), f.sub("%count", done))
            vectors = f.div(f.add(length, t.lanes - 1), t.lanes)
            for j, word in enumerate((source, f.mul(done, t.itemsize), vectors)):
                f.store("i64", str(word), f.at(table, j, "i64"), 8)
            back = f.sub(x.row_advance, f.mul(column, t.itemsize))
            return [f.at(table, 24), f.add(source, back), "0", f.add(done, length)]

        carry = [("ptr", "%table"), ("i64", source), ("i64", column), ("i64", "0")]
        count = f.add(f.sub(last, row), 1)
        f.loop(0, count, 1, run, carry, at_least_once=True)
        made = x.finish()
        made.lines[-1] = f"  ret i64 {count}"
        return made

    def _patches(self) -> Function:
        """Rows (channel, tap) of patches, in order: the next one writes over what is beyond an end."""
        f = Function(
            "patches", [("ptr", "args"), ("ptr", "out"), ("i64", "out_row"), ("ptr", "image"),
                        ("i64", "channels"), ("ptr", "taps"), ("ptr", "runs"), ("i64", "count"),
                        ("i1", "panel")],
            internal=True, inline=False,
        )
        x, t = Words(f, self.names, ("x",)), self.t

        def vectors(out, source, count):
            for j in range(count):
                at = j * t.lanes
                f.store(self.v, f.load(self.v, f.at(source, at, t.type)), f.at(out, at, t.type))

        def every(copy):
            def channel(c, out, image):
                def tap(k, out):
                    copy(out, f.at(image, f.argument("%taps", k)))
                    return [f.at(out, "%out_row")]

                out = f.loop(0, x.taps, 1, tap, [("ptr", out)], at_least_once=True)[0]
                return [out, f.at(image, x.channel_bytes)]

            f.loop(0, "%channels", 1, channel, [("ptr", "%out"), ("ptr", "%image")])

        def each_run(body):
            def copy(out, source):
                def run(i):
                    words = f.at("%runs", f.mul(i, 3), "i64")
                    body(words, f.at(out, f.argument(words, 1)), f.at(source, f.argument(words, 0)))

                f.loop(0, "%count", 1, run, at_least_once=True)

            every(copy)

        def long_run(words, out, source):
            def one(j):
                at = f.mul(j, t.lanes)
                vectors(f.at(out, at, t.type), f.at(source, at, t.type), 1)

            f.loop(0, f.argument(words, 2), 1, one, at_least_once=True)

        def known(runs, each):
            """So many runs, of which `each` vectors are copied."""
            sources = [f.argument("%runs", 3 * r) for r in range(runs)]
            places = ["0", *(f.argument("%runs", 3 * r + 1) for r in range(1, runs))]

            def copy(out, image):
                for source, place in zip(sources, places, strict=True):
                    vectors(f.at(out, place), f.at(image, source), each)

            every(copy)

        def by_count(number, each, last, otherwise):
            if number > last:
                return otherwise()
            same = f.compare("eq", "%count", number)
            f.branch(same, lambda: known(number, each),
                     lambda: by_count(number + 1, each, last, otherwise) and None)

        def short():
            by_count(1, 1, 4, lambda: each_run(lambda _, out, source: vectors(out, source, 1)))

        def long():
            def otherwise():
                each_run(long_run)

            f.branch("%panel", lambda: by_count(1, t.vectors, 2, otherwise), otherwise)

        f.branch(f.compare("sle", x.out_width, t.lanes), short, long)
        return x.finish()

    # ------------------------------------------------------------ calls

    def call_patches(self, f: Function, out: str, out_row: Operand, image: str, channels: Operand,
                     taps: str, runs: str, pixel: Operand, count: Operand, row: Operand,
                     panel: bool) -> None:
        """Write calls of `runs` and `patches` for pixels of an image prepared from output row `row`
        on.

        panel: rows are those of a panel, `columns` of the widest tile, of which all may be written.
        """
        found = f.op(f"call i64 @runs(ptr %args, ptr {runs}, i64 {pixel}, i64 {count}, i64 {row})")
        f.do(f"call void @patches(ptr %args, ptr {out}, i64 {out_row}, ptr {image}, "
             f"i64 {channels}, ptr {taps}, ptr {runs}, i64 {found}, i1 {int(panel)})")


def call_prepare(f: Function, x: Words, out: str, plane: str, channels: Operand, row: Operand,
                 rows: Operand, inside: str) -> None:
    """Prepare `rows` rows for the output's rows from `row` on; all zeros if not `inside`."""
    first = f.add(f.mul(row, x.stride_h), x.first_h)
    first = f.op(f"select i1 {inside}, i64 {first}, i64 {NOWHERE}")
    f.do(f"call void @fill(ptr %args, ptr {out}, ptr {plane}, i64 {channels}, i64 {first}, "
         f"i64 {rows})")
