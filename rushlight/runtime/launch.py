"""The launcher: one native call runs a stretch of a program, given Python lists of arrays and numbers.

A *plan* is a table of 8-byte words at a fixed address:

    0 number of calls        1 address of the calls      2 whether the GIL is released meanwhile
    3 number of array patches   4 their address          5 number of scalar patches   6 their address

A *call* is five words: function, address of its argument block, number of chunks, whether the pool shares
them, address of an error word (or 0). A kernel is `void f(ptr arguments, i64 chunk, i64 thread)`. If
the error word is not zero after a call, the launch stops and returns the call's number plus one.

An *array patch* (list, index, destination, addend) stores the data address of `lists[list][index]`
plus an offset in bytes into an argument block. A *scalar patch* (index, destination, kind) stores
`scalars[index]`: kind 0 as a double, 1 as a 64-bit integer.

The address of an array's data is read out of NumPy's array object, where it is the first field (so since
NumPy 1.0, and checked in `verify_layout`); asking Python for it would cost more than most kernels.
"""

from __future__ import annotations

import ctypes

import numpy as np

DATA_OFFSET = 16  # of the data pointer in an array object: after the reference count and the type
ITEMS_OFFSET = 24  # of the item pointers in a list object

TEXT = """
declare void @pool_run(ptr, ptr, i64)
declare double @PyFloat_AsDouble(ptr)
declare i64 @PyLong_AsLongLong(ptr)
declare ptr @PyLong_AsVoidPtr(ptr)
declare ptr @PyLong_FromLongLong(i64)
declare ptr @PyEval_SaveThread()
declare void @PyEval_RestoreThread(ptr)

define internal ptr @item(ptr %list, i64 %index) alwaysinline {
  %where = getelementptr i8, ptr %list, i64 ITEMS_OFFSET
  %items = load ptr, ptr %where
  %slot = getelementptr ptr, ptr %items, i64 %index
  %found = load ptr, ptr %slot
  ret ptr %found
}

define i64 @run_calls(ptr %calls, i64 %n) {
entry:
  br label %head
head:
  %i = phi i64 [0, %entry], [%next, %after]
  %more = icmp slt i64 %i, %n
  br i1 %more, label %body, label %done
body:
  %offset = mul i64 %i, 5
  %call = getelementptr i64, ptr %calls, i64 %offset
  %function = load ptr, ptr %call
  %p1 = getelementptr i64, ptr %call, i64 1
  %arguments = load ptr, ptr %p1
  %p2 = getelementptr i64, ptr %call, i64 2
  %chunks = load i64, ptr %p2
  %p3 = getelementptr i64, ptr %call, i64 3
  %shared = load i64, ptr %p3
  %pool = icmp ne i64 %shared, 0
  br i1 %pool, label %parallel, label %serial
parallel:
  call void @pool_run(ptr %function, ptr %arguments, i64 %chunks)
  br label %check
serial:
  %c = phi i64 [0, %body], [%c1, %one]
  %left = icmp slt i64 %c, %chunks
  br i1 %left, label %one, label %check
one:
  call void %function(ptr %arguments, i64 %c, i64 0)
  %c1 = add i64 %c, 1
  br label %serial
check:
  %p4 = getelementptr i64, ptr %call, i64 4
  %error = load ptr, ptr %p4
  %checked = icmp ne ptr %error, null
  br i1 %checked, label %look, label %after
look:
  %wrong = load i64, ptr %error
  %failed = icmp ne i64 %wrong, 0
  br i1 %failed, label %stop, label %after
stop:
  %number = add i64 %i, 1
  ret i64 %number
after:
  %next = add i64 %i, 1
  br label %head
done:
  ret i64 0
}

; launch(plan, scalars, list, list, ...)
define ptr @launch(ptr %self, ptr %given, i64 %count) {
entry:
  %o0 = load ptr, ptr %given
  %plan = call ptr @PyLong_AsVoidPtr(ptr %o0)
  %g1 = getelementptr ptr, ptr %given, i64 1
  %scalars = load ptr, ptr %g1
  %lists = getelementptr ptr, ptr %given, i64 2
  %p3 = getelementptr i64, ptr %plan, i64 3
  %arrays = load i64, ptr %p3
  %p4 = getelementptr i64, ptr %plan, i64 4
  %patches = load ptr, ptr %p4
  br label %array
array:
  %i = phi i64 [0, %entry], [%i1, %array2]
  %more = icmp slt i64 %i, %arrays
  br i1 %more, label %array2, label %numbers
array2:
  %at = mul i64 %i, 4
  %patch = getelementptr i64, ptr %patches, i64 %at
  %which = load i64, ptr %patch
  %q1 = getelementptr i64, ptr %patch, i64 1
  %index = load i64, ptr %q1
  %q2 = getelementptr i64, ptr %patch, i64 2
  %destination = load ptr, ptr %q2
  %q3 = getelementptr i64, ptr %patch, i64 3
  %addend = load i64, ptr %q3
  %l = getelementptr ptr, ptr %lists, i64 %which
  %list = load ptr, ptr %l
  %object = call ptr @item(ptr %list, i64 %index)
  %field = getelementptr i8, ptr %object, i64 DATA_OFFSET
  %data = load i64, ptr %field
  %address = add i64 %data, %addend
  store i64 %address, ptr %destination
  %i1 = add i64 %i, 1
  br label %array
numbers:
  %p5 = getelementptr i64, ptr %plan, i64 5
  %many = load i64, ptr %p5
  %p6 = getelementptr i64, ptr %plan, i64 6
  %table = load ptr, ptr %p6
  br label %number
number:
  %j = phi i64 [0, %numbers], [%j1, %stored]
  %left = icmp slt i64 %j, %many
  br i1 %left, label %number2, label %ready
number2:
  %jat = mul i64 %j, 3
  %entry3 = getelementptr i64, ptr %table, i64 %jat
  %jindex = load i64, ptr %entry3
  %r1 = getelementptr i64, ptr %entry3, i64 1
  %target = load ptr, ptr %r1
  %r2 = getelementptr i64, ptr %entry3, i64 2
  %kind = load i64, ptr %r2
  %value = call ptr @item(ptr %scalars, i64 %jindex)
  %whole = icmp eq i64 %kind, 1
  br i1 %whole, label %integer, label %floating
integer:
  %n = call i64 @PyLong_AsLongLong(ptr %value)
  store i64 %n, ptr %target
  br label %stored
floating:
  %d = call double @PyFloat_AsDouble(ptr %value)
  store double %d, ptr %target
  br label %stored
stored:
  %j1 = add i64 %j, 1
  br label %number
ready:
  %calls = load i64, ptr %plan
  %p1 = getelementptr i64, ptr %plan, i64 1
  %first = load ptr, ptr %p1
  %p2 = getelementptr i64, ptr %plan, i64 2
  %release = load i64, ptr %p2
  %long = icmp ne i64 %release, 0
  br i1 %long, label %released, label %held
released:
  %state = call ptr @PyEval_SaveThread()
  %ra = call i64 @run_calls(ptr %first, i64 %calls)
  call void @PyEval_RestoreThread(ptr %state)
  br label %end
held:
  %rb = call i64 @run_calls(ptr %first, i64 %calls)
  br label %end
end:
  %result = phi i64 [%ra, %released], [%rb, %held]
  %told = call ptr @PyLong_FromLongLong(i64 %result)
  ret ptr %told
}
"""
TEXT = TEXT.replace("ITEMS_OFFSET", str(ITEMS_OFFSET)).replace("DATA_OFFSET", str(DATA_OFFSET))
EXPORTS = ("launch", "run_calls")


class _MethodDefinition(ctypes.Structure):
    _fields_ = [
        ("name", ctypes.c_char_p), ("function", ctypes.c_void_p), ("flags", ctypes.c_int),
        ("doc", ctypes.c_char_p),
    ]


_METH_NOARGS, _METH_O, _METH_FASTCALL = 0x4, 0x8, 0x80
_definitions: list = []  # Python keeps only the address of each


def _definition(name: str, address: int, flags: int):
    _definitions.append(_MethodDefinition(name.encode(), address, flags, None))
    return ctypes.byref(_definitions[-1])


def python_function(name: str, address: int, given: object = None):
    """Native `ptr f(ptr given, ptr arguments, i64 count)` as a Python function (54 ns a call)."""
    make = ctypes.pythonapi.PyCFunction_NewEx
    make.restype = ctypes.py_object
    make.argtypes = [ctypes.POINTER(_MethodDefinition), ctypes.py_object, ctypes.c_void_p]
    return make(_definition(name, address, _METH_FASTCALL), given, None)


def python_method(kind: type, name: str, address: int, unary: bool):
    """Native `ptr f(ptr self, ptr other)` as a method of the class `kind`; other: null if it is unary."""
    make = ctypes.pythonapi.PyDescr_NewMethod
    make.restype = ctypes.py_object
    make.argtypes = [ctypes.py_object, ctypes.POINTER(_MethodDefinition)]
    return make(kind, _definition(name, address, _METH_NOARGS if unary else _METH_O))


def verify_layout() -> bool:
    """Whether arrays and lists lie in memory as the launcher expects (CPython and NumPy)."""
    a = np.arange(5)[2:]
    held = [None, a]
    try:
        items = ctypes.c_void_p.from_address(id(held) + ITEMS_OFFSET).value
        second = ctypes.c_void_p.from_address(items + ctypes.sizeof(ctypes.c_void_p)).value
        data = ctypes.c_void_p.from_address(id(a) + DATA_OFFSET).value
    except (TypeError, ValueError):
        return False
    return second == id(a) and data == a.ctypes.data
