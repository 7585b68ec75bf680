"""`show_kernels()`: the native programs of this process, kernel by kernel: loops, LLVM IR, assembly."""

from __future__ import annotations

import gc
import sys
from typing import TextIO


def native_programs() -> list:
    """The native programs that are there now."""
    from ..compile.native import NativeProgram

    return [x for x in gc.get_objects() if type(x) is NativeProgram and x.function is not None]


def show_kernels(
    line: str | None = None, *, what: str = "loops asm", file: TextIO | None = None
) -> None:
    """Print the kernels of all native programs.

    line: only kernels of operations recorded there: part of "file.py:number". what: any of "loops" (the
    loop nest as readable text; kernels from templates have none), "llvm" and "asm".

    >>> import io
    >>> torch.show_kernels("no such line", file=(out := io.StringIO()))
    >>> out.getvalue()
    ''
    """
    from ..compile.kernels.call import distinct
    from ..compile.llvm import objects
    from ..compile.printing import loops
    from ..trace.trie import site_of

    out = file or sys.stdout
    shown = set()
    for program in native_programs():
        for step in program.steps:
            sites = [site_of(i.node) for i in step.instructions]
            places = dict.fromkeys(f"{found[0]}:{found[1]}" for found in sites if found is not None)
            if line is not None and not any(line in p for p in places):
                continue
            for call in distinct(step.calls):
                if (call.text, str(call.label)) in shown:
                    continue
                shown.add((call.text, str(call.label)))
                print(f"# {call.label}\n# {', '.join(places)}", file=out)
                if "loops" in what and call.nest is not None:
                    print(loops(call.nest), file=out)
                if "llvm" in what:
                    print(call.text, file=out)
                if "asm" in what:
                    print(objects.assembly(call.text), file=out)
