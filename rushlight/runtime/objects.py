"""CPython's objects in native code: their slots, items and references.

Words and offsets are CPython's: `layout` reads those of slots out of its own tables and looks whether they are right,
`as_expected` looks at tuples, lists and references.
"""

from __future__ import annotations

import ctypes
import sys

MOST = 20  # objects that a module's text names by their number in @objects

HELPERS = """
declare ptr @PyLong_AsVoidPtr(ptr)
declare i32 @PyList_Append(ptr, ptr)
declare ptr @PyTuple_New(i64)
declare void @Py_IncRef(ptr)
declare void @Py_DecRef(ptr)
declare ptr @PyObject_CallFunctionObjArgs(ptr, ...)

@objects = global [20 x ptr] zeroinitializer

define internal ptr @object(i64 %i) alwaysinline {
  %p = getelementptr [20 x ptr], ptr @objects, i64 0, i64 %i
  %x = load ptr, ptr %p
  ret ptr %x
}

define internal ptr @at(ptr %base, i64 %offset) alwaysinline {
  %p = getelementptr i8, ptr %base, i64 %offset
  %x = load ptr, ptr %p
  ret ptr %x
}

define internal i64 @word(ptr %base, i64 %i) alwaysinline {
  %p = getelementptr i64, ptr %base, i64 %i
  %x = load i64, ptr %p
  ret i64 %x
}

define internal ptr @or_none(ptr %base, i64 %offset, ptr %none) alwaysinline {
  %x = call ptr @at(ptr %base, i64 %offset)
  %unset = icmp eq ptr %x, null
  %y = select i1 %unset, ptr %none, ptr %x
  ret ptr %y
}

define internal void @set(ptr %base, i64 %offset, ptr %x) alwaysinline {
  %p = getelementptr i8, ptr %base, i64 %offset
  %old = load ptr, ptr %p
  call void @Py_IncRef(ptr %x)
  store ptr %x, ptr %p
  call void @Py_DecRef(ptr %old)
  ret void
}
"""


def layout(**classes) -> dict[str, int] | None:
    """Offsets of slots by name, for the slots named in `classes` ({name: class}); None where Python differs.

    Read from the descriptors of CPython; a look at an object tells whether they are right.
    """
    if sys.implementation.name != "cpython" or not getattr(sys, "_is_gil_enabled", lambda: True)():
        return None
    found = {}
    for name, kind in classes.items():
        member = ctypes.c_void_p.from_address(id(kind.__dict__[name]) + 40).value
        at = None if member is None else ctypes.c_ssize_t.from_address(member + 16).value
        sample, mark = object.__new__(kind), object()
        setattr(sample, name, mark)
        if at is None or not 16 <= at < kind.__basicsize__:
            return None
        if ctypes.c_void_p.from_address(id(sample) + at).value != id(mark):
            return None
        found[name] = at
    return found


def as_expected() -> bool:
    """Whether tuples, lists and references lie in memory as CPython's do."""
    mark = object()
    pair, items = (None, mark), [None, mark]
    words = (ctypes.c_void_p * 5).from_address(id(pair))
    head = (ctypes.c_void_p * 4).from_address(id(items))
    before = ctypes.c_uint32.from_address(id(mark)).value
    more = [mark, mark]
    return (words[1] == id(tuple) and words[2] == 2 and words[4] == id(mark)
            and head[1] == id(list) and head[2] == 2 and ctypes.c_void_p.from_address(head[3] + 8).value == id(mark)
            and ctypes.c_uint32.from_address(id(mark)).value == before + len(more))


def name_objects(address: int, names: tuple[str, ...], objects: dict[str, object]) -> list:
    """Fill the table @objects that lies at an address, in the order of `names`; what has to be held meanwhile."""
    table = (ctypes.c_void_p * MOST).from_address(address)
    for i, name in enumerate(names):
        if name in objects:
            table[i] = id(objects[name])
    return list(objects.values())
