"""The recorder in native code: what `trace/hot.py` does for a known operation, in a tenth of the time.

`step(binding, arguments, count)` reads the nodes of the operands out of their handles, compares them with the
key of the first edge (or looks the edge up), makes the new handle and moves the thread's position on. It handles
plain tensors, Python numbers and attributes; whatever else it meets goes to the operator's Python function,
which this must agree with, and an unknown edge to `record.missed`.

`enter_leaf(position, tensor)` is the usual case of `segments.enter`: a tensor from outside whose memory nobody else
has had a hand in becomes a leaf along the first edge. `bring` asks it and then `segments.enter` itself.

A *binding* is a table of words for one operator: the operator, its Python function, its number of arguments,
flags, and the kind of each argument. As in `hot.py`, nothing that could let another thread run is
called between the lookup and the end, and the new handle is made first, since that may collect garbage; so may
making a key, after which the position must be where it was.
"""

from __future__ import annotations

import ctypes

from .launch import python_function, python_method
from .objects import HELPERS, name_objects

MOST = 12  # arguments of an operator
METHODS = 40  # trampolines: methods of Tensor that know their operator by their number
TENSOR, NUMBER_TOO, OPTIONAL, NUMBER, ATTRIBUTE = range(5)  # kinds of arguments
FINISH, VIEW = 1, 2  # flags: the Python function `finish` makes the result; its input's memory may be there
_HEAD = 4  # words of a binding before the kinds
# objects in @objects; position: of the thread that last recorded here
_FIELDS = ("tensor", "parameter", "float", "int", "none", "leaf", "finish", "tuple", "no_grad", "true_leaf", "true",
           "false", "enter", "position", "missed", "entered", "has_history",
           "storage_identity")

_TEXT = """
declare ptr @PyType_GenericAlloc(ptr, i64)
declare i64 @PyThread_get_thread_ident()
declare i32 @PyObject_RichCompareBool(ptr, ptr, i32)
declare ptr @PyDict_GetItemWithError(ptr, ptr)
declare void @PyErr_Clear()
declare ptr @PyTuple_Pack(i64, ...)
declare ptr @PyErr_Occurred()
declare ptr @PyObject_Vectorcall(ptr, ptr, i64, ptr)

@methods = global [{methods} x ptr] zeroinitializer

define internal i1 @is_mine(ptr %tr) {{
  %owner = call ptr @at(ptr %tr, i64 {thread})
  %owner_id = call ptr @PyLong_AsVoidPtr(ptr %owner)
  %owner_word = ptrtoint ptr %owner_id to i64
  %me = call i64 @PyThread_get_thread_ident()
  %mine = icmp eq i64 %owner_word, %me
  ret i1 %mine
}}

define internal ptr @enter_leaf(ptr %tr, ptr %x, ptr %storage) {{
entry:
  %none = call ptr @object(i64 4)
  %true = call ptr @object(i64 10)
  %false = call ptr @object(i64 11)
  %base = call ptr @or_none(ptr %x, i64 {_base}, ptr %none)
  %buf = call ptr @or_none(ptr %x, i64 {_buf}, ptr %none)
  %s = call ptr @at(ptr %x, i64 {_s})
  %whole = icmp eq ptr %base, %none
  %valued = icmp ne ptr %buf, %none
  %owned = icmp ne ptr %storage, %none
  %viewable = or i1 %whole, %owned
  %can = and i1 %viewable, %valued
  br i1 %can, label %is_view, label %other
is_view:
  br i1 %whole, label %kind, label %view
view:
  %seen = call ptr @at(ptr %x, i64 {_generation})
  %written = call ptr @at(ptr %storage, i64 {generation})
  %seen_word = call ptr @PyLong_AsVoidPtr(ptr %seen)
  %written_word = call ptr @PyLong_AsVoidPtr(ptr %written)
  %current = icmp eq ptr %seen_word, %written_word
  br i1 %current, label %kind, label %other
kind:
  %rg = call ptr @at(ptr %s, i64 {rg})
  %needs = icmp eq ptr %rg, %true
  %grad_on = call ptr @at(ptr %s, i64 {grad_on})
  %usual = icmp eq ptr %grad_on, %true
  %history = call ptr @or_none(ptr %x, i64 {_history}, ptr %none)
  %first_hand = icmp eq ptr %history, %none
  %kept = xor i1 %first_hand, true
  %remembered = and i1 %needs, %kept
  %a = call ptr @object(i64 8)
  %b = call ptr @object(i64 9)
  %c = call ptr @object(i64 16)
  %of_leaf = select i1 %first_hand, ptr %b, ptr %c
  %as = select i1 %needs, ptr %of_leaf, ptr %a
  %ok = select i1 %needs, i1 true, i1 %usual
  br i1 %ok, label %origin, label %other
origin:
  br i1 %remembered, label %origins, label %memory
origins:
  %tuples = call ptr @object(i64 7)
  %history_class = call ptr @at(ptr %history, i64 8)
  %is_tuple = icmp eq ptr %history_class, %tuples
  %parts = call i64 @word(ptr %history, i64 2)
  %two = icmp eq i64 %parts, 2
  %pair = and i1 %is_tuple, %two
  br i1 %pair, label %place, label %other
place:
  call void @Py_IncRef(ptr %history)
  %identify = call ptr @object(i64 17)
  br i1 %owned, label %held, label %identity
held:
  call void @Py_IncRef(ptr %storage)
  br label %pack
identity:
  %new_storage = call ptr (ptr, ...) @PyObject_CallFunctionObjArgs(ptr %identify, ptr %x, ptr null)
  %unnamed = icmp eq ptr %new_storage, null
  br i1 %unnamed, label %unkept, label %pack
pack:
  %memory_of = phi ptr [ %storage, %held ], [ %new_storage, %identity ]
  %segment_of = call ptr @at(ptr %history, i64 24)
  %node_of = call ptr @at(ptr %history, i64 32)
  %packed = call ptr (i64, ...) @PyTuple_Pack(i64 3, ptr %segment_of, ptr %node_of, ptr %memory_of)
  call void @Py_DecRef(ptr %memory_of)
  %short = icmp eq ptr %packed, null
  br i1 %short, label %unkept, label %keep
keep:
  call void @Py_DecRef(ptr %history)
  br label %still
unkept:
  call void @Py_DecRef(ptr %history)
  call void @PyErr_Clear()
  br label %other
still:
  %s_now = call ptr @at(ptr %x, i64 {_s})
  %unmoved = icmp eq ptr %s_now, %s
  br i1 %unmoved, label %memory, label %unused
unused:
  call void @Py_DecRef(ptr %packed)
  br label %other
memory:
  %leaf_of = phi ptr [ %x, %origin ], [ %packed, %still ]
  %st = call ptr @at(ptr %tr, i64 {st})
  %serial = call ptr @at(ptr %tr, i64 {serial})
  br i1 %owned, label %entered_before, label %edge
entered_before:
  %recorder = call ptr @at(ptr %storage, i64 {recorder})
  %by_us = icmp eq ptr %recorder, %tr
  br i1 %by_us, label %when, label %edge
when:
  %segment = call ptr @at(ptr %storage, i64 {segment})
  %number = call ptr @PyLong_AsVoidPtr(ptr %segment)
  %now = call ptr @PyLong_AsVoidPtr(ptr %serial)
  %aliased = icmp eq ptr %number, %now
  br i1 %aliased, label %again, label %edge
again:
  %entered_as = call ptr @at(ptr %storage, i64 {node})
  br label %edge
edge:
  %alias = phi ptr [ %none, %memory ], [ %none, %entered_before ], [ %none, %when ], [ %entered_as, %again ]
  %leaf = call ptr @object(i64 5)
  %m = call ptr @at(ptr %s, i64 {m})
  %key = call ptr @at(ptr %st, i64 {first_key})
  %tuple = call ptr @object(i64 7)
  %key_class = call ptr @at(ptr %key, i64 8)
  %is_key = icmp eq ptr %key_class, %tuple
  br i1 %is_key, label %sized, label %lookup
sized:
  %size = call i64 @word(ptr %key, i64 2)
  %five = icmp eq i64 %size, 5
  br i1 %five, label %compare, label %lookup
compare:
  %k0 = call ptr @at(ptr %key, i64 24)
  %k1 = call ptr @at(ptr %key, i64 32)
  %k2 = call ptr @at(ptr %key, i64 40)
  %k3 = call ptr @at(ptr %key, i64 48)
  %k4 = call ptr @at(ptr %key, i64 56)
  %e0 = icmp eq ptr %k0, %leaf
  %e1 = icmp eq ptr %k1, %m
  %e2 = icmp eq ptr %k2, %as
  %e3 = icmp eq ptr %k3, %alias
  %e4 = icmp eq ptr %k4, %false
  %e01 = and i1 %e0, %e1
  %e23 = and i1 %e2, %e3
  %e03 = and i1 %e01, %e23
  %same = and i1 %e03, %e4
  %first = call ptr @at(ptr %st, i64 {first})
  br i1 %same, label %take, label %lookup
lookup:
  %made = call ptr (i64, ...) @PyTuple_Pack(i64 5, ptr %leaf, ptr %m, ptr %as, ptr %alias, ptr %false)
  %failed = icmp eq ptr %made, null
  br i1 %failed, label %unknown, label %search
search:
  %st_now = call ptr @at(ptr %tr, i64 {st})
  %s_then = call ptr @at(ptr %x, i64 {_s})
  %st_same = icmp eq ptr %st_now, %st
  %s_same = icmp eq ptr %s_then, %s
  %serial_then = call ptr @at(ptr %tr, i64 {serial})
  %serial_same = icmp eq ptr %serial_then, %serial
  %moved_on = and i1 %st_same, %serial_same
  %steady = and i1 %moved_on, %s_same
  br i1 %steady, label %find, label %unknown_key
find:
  %edges = call ptr @at(ptr %st, i64 {next})
  %found = call ptr @PyDict_GetItemWithError(ptr %edges, ptr %made)
  %st_after = call ptr @at(ptr %tr, i64 {st})
  %st_still = icmp eq ptr %st_after, %st
  %is_found = icmp ne ptr %found, null
  %known = and i1 %st_still, %is_found
  br i1 %known, label %known_key, label %unknown_key
known_key:
  call void @Py_DecRef(ptr %made)
  br label %take
unknown_key:
  call void @Py_DecRef(ptr %made)
  br label %unknown
unknown:
  call void @PyErr_Clear()
  br label %left
take:
  %v = phi ptr [ %first, %compare ], [ %found, %known_key ]
  %leaves = call ptr @at(ptr %tr, i64 {leaves})
  %bufs = call ptr @at(ptr %tr, i64 {bufs})
  %ts = call ptr @at(ptr %tr, i64 {ts})
  %r1 = call i32 @PyList_Append(ptr %leaves, ptr %leaf_of)
  %r2 = call i32 @PyList_Append(ptr %bufs, ptr %buf)
  %r3 = call i32 @PyList_Append(ptr %ts, ptr %x)
  call void @set(ptr %tr, i64 {st}, ptr %v)
  call void @set(ptr %x, i64 {_s}, ptr %v)
  call void @set(ptr %x, i64 {_tr}, ptr %tr)
  %alone = icmp eq ptr %alias, %none
  %new = and i1 %owned, %alone
  br i1 %new, label %noted, label %done
noted:
  call void @set(ptr %storage, i64 {segment}, ptr %serial)
  call void @set(ptr %storage, i64 {node}, ptr %v)
  call void @set(ptr %storage, i64 {recorder}, ptr %tr)
  br label %done
done:
  br i1 %remembered, label %given, label %ready
given:
  call void @Py_DecRef(ptr %leaf_of)
  br label %ready
ready:
  ret ptr %v
left:
  br i1 %remembered, label %drop, label %other
drop:
  call void @Py_DecRef(ptr %leaf_of)
  br label %other
other:
  ret ptr null
}}

define internal ptr @bring_usual(ptr %tr, ptr %x) {{
entry:
  %mine = call i1 @is_mine(ptr %tr)
  br i1 %mine, label %memory, label %other
memory:
  %none = call ptr @object(i64 4)
  %storage = call ptr @or_none(ptr %x, i64 {_storage}, ptr %none)
  %owned = icmp ne ptr %storage, %none
  br i1 %owned, label %exposure, label %fast
exposure:
  %exposed = call ptr @at(ptr %storage, i64 {exposed})
  %false = call ptr @object(i64 11)
  %private = icmp eq ptr %exposed, %false
  br i1 %private, label %fast, label %other
fast:
  %v = call ptr @enter_leaf(ptr %tr, ptr %x, ptr %storage)
  ret ptr %v
other:
  ret ptr null
}}

define internal ptr @bring(ptr %tr, ptr %x) {{
entry:
  %unknown = icmp eq ptr %tr, null
  br i1 %unknown, label %other, label %asked
asked:
  %mine = call i1 @is_mine(ptr %tr)
  br i1 %mine, label %usual, label %other
usual:
  %serial = call ptr @at(ptr %tr, i64 {serial})
  %before = call ptr @PyLong_AsVoidPtr(ptr %serial)
  %v = call ptr @bring_usual(ptr %tr, ptr %x)
  %entered = icmp ne ptr %v, null
  br i1 %entered, label %made, label %python
python:
  %enter = call ptr @object(i64 12)
  %w = call ptr (ptr, ...) @PyObject_CallFunctionObjArgs(ptr %enter, ptr %tr, ptr %x, ptr null)
  %failed = icmp eq ptr %w, null
  br i1 %failed, label %error, label %found
error:
  call void @PyErr_Clear()
  ret ptr null
found:
  call void @Py_DecRef(ptr %w)
  br label %made
made:
  %node = phi ptr [ %v, %usual ], [ %w, %found ]
  %serial1 = call ptr @at(ptr %tr, i64 {serial})
  %after = call ptr @PyLong_AsVoidPtr(ptr %serial1)
  %whole = icmp eq ptr %before, %after
  br i1 %whole, label %read, label %other
read:
  ret ptr %node
other:
  ret ptr null
}}

define ptr @entered(ptr %self, ptr %given, i64 %count) {{
entry:
  %tr = load ptr, ptr %given
  %xp = getelementptr ptr, ptr %given, i64 1
  %x = load ptr, ptr %xp
  %c = call ptr @at(ptr %x, i64 8)
  %type = call ptr @object(i64 0)
  %parameter = call ptr @object(i64 1)
  %is_t = icmp eq ptr %c, %type
  %is_p = icmp eq ptr %c, %parameter
  %is = or i1 %is_t, %is_p
  br i1 %is, label %tensor, label %python
tensor:
  %its = call ptr @at(ptr %x, i64 {_tr})
  %here = icmp eq ptr %its, %tr
  br i1 %here, label %done, label %elsewhere
elsewhere:
  %none = call ptr @object(i64 4)
  %outside = icmp eq ptr %its, %none
  br i1 %outside, label %usual, label %python
usual:
  %v = call ptr @bring_usual(ptr %tr, ptr %x)
  %in = icmp ne ptr %v, null
  br i1 %in, label %done, label %python
done:
  call void @Py_IncRef(ptr %x)
  ret ptr %x
python:
  %plain = call ptr @object(i64 15)
  %told = call ptr @PyObject_Vectorcall(ptr %plain, ptr %given, i64 2, ptr null)
  ret ptr %told
}}

define internal ptr @step(ptr %binding, ptr %given, i64 %count) {{
entry:
  %key = alloca [{most1} x ptr]
  %numbers = alloca [{most} x ptr]
  %type = call ptr @object(i64 0)
  %parameter = call ptr @object(i64 1)
  %float = call ptr @object(i64 2)
  %int = call ptr @object(i64 3)
  %none = call ptr @object(i64 4)
  %leaf = call ptr @object(i64 5)
  %tuple = call ptr @object(i64 7)
  %op = call ptr @at(ptr %binding, i64 0)
  %n = call i64 @word(ptr %binding, i64 2)
  %flags = call i64 @word(ptr %binding, i64 3)
  %t = call ptr @PyType_GenericAlloc(ptr %type, i64 0)
  %failed = icmp eq ptr %t, null
  br i1 %failed, label %none_left, label %begin
none_left:
  ret ptr null
begin:
  store ptr %op, ptr %key
  %fits = icmp eq i64 %count, %n
  br i1 %fits, label %operand, label %slow
operand:
  %i = phi i64 [0, %begin], [%i1, %next]
  %tr = phi ptr [null, %begin], [%tr1, %next]
  %many = phi i64 [0, %begin], [%many1, %next]
  %left = icmp slt i64 %i, %n
  br i1 %left, label %one, label %ready
one:
  %gp = getelementptr ptr, ptr %given, i64 %i
  %x = load ptr, ptr %gp
  %ki = add i64 %i, {head}
  %kind = call i64 @word(ptr %binding, i64 %ki)
  %i1 = add i64 %i, 1
  %kp = getelementptr ptr, ptr %key, i64 %i1
  %static = icmp eq i64 %kind, 4
  br i1 %static, label %attribute, label %typed
attribute:
  store ptr %x, ptr %kp
  br label %next
typed:
  %c = call ptr @at(ptr %x, i64 8)
  %number_only = icmp eq i64 %kind, 3
  br i1 %number_only, label %number, label %plain
plain:
  %is_t = icmp eq ptr %c, %type
  %is_p = icmp eq ptr %c, %parameter
  %is = or i1 %is_t, %is_p
  br i1 %is, label %tensor, label %other
tensor:
  %its = call ptr @at(ptr %x, i64 {_tr})
  %fresh = icmp eq ptr %tr, null
  %same = icmp eq ptr %its, %tr
  %good = or i1 %fresh, %same
  %unset = icmp eq ptr %its, null
  %outside = icmp eq ptr %its, %none
  %away = or i1 %unset, %outside
  %here = xor i1 %away, true
  %fine = and i1 %good, %here
  %vf = and i64 %flags, 2
  %views = icmp ne i64 %vf, 0
  br i1 %fine, label %known, label %elsewhere
elsewhere:
  %computed = xor i1 %views, true
  %able_in = and i1 %outside, %computed
  br i1 %able_in, label %enter, label %slow
enter:
  %last = call ptr @object(i64 13)
  %tr0 = select i1 %fresh, ptr %last, ptr %tr
  %in = call ptr @bring(ptr %tr0, ptr %x)
  %not_in = icmp eq ptr %in, null
  br i1 %not_in, label %slow, label %inside
inside:
  store ptr %in, ptr %kp
  br label %next
known:
  %node = call ptr @at(ptr %x, i64 {_s})
  store ptr %node, ptr %kp
  %no = call ptr @at(ptr %node, i64 {op})
  %is_leaf = icmp eq ptr %no, %leaf
  %memory = and i1 %views, %is_leaf
  br i1 %memory, label %slow, label %next
other:
  %is_none = icmp eq ptr %x, %none
  %optional = icmp eq i64 %kind, 2
  %absent = and i1 %is_none, %optional
  br i1 %absent, label %attribute, label %maybe
maybe:
  %able = icmp eq i64 %kind, 1
  br i1 %able, label %number, label %slow
number:
  %is_f = icmp eq ptr %c, %float
  %is_i = icmp eq ptr %c, %int
  %is_n = or i1 %is_f, %is_i
  br i1 %is_n, label %counted, label %slow
counted:
  store ptr %c, ptr %kp
  %np = getelementptr ptr, ptr %numbers, i64 %many
  store ptr %x, ptr %np
  %many2 = add i64 %many, 1
  br label %next
next:
  %tr1 = phi ptr [%tr, %attribute], [%its, %known], [%tr0, %inside], [%tr, %counted]
  %many1 = phi i64 [%many, %attribute], [%many, %known], [%many, %inside], [%many2, %counted]
  br label %operand

ready:
  %lost = icmp eq ptr %tr, null
  br i1 %lost, label %slow, label %owned
owned:
  %mine = call i1 @is_mine(ptr %tr)
  br i1 %mine, label %look, label %slow
look:
  %st = call ptr @at(ptr %tr, i64 {st})
  %first = call ptr @at(ptr %st, i64 {first_key})
  %size = add i64 %n, 1
  %fc = call ptr @at(ptr %first, i64 8)
  %is_key = icmp eq ptr %fc, %tuple
  br i1 %is_key, label %sized, label %others
sized:
  %fsize = call i64 @word(ptr %first, i64 2)
  %as_long = icmp eq i64 %fsize, %size
  br i1 %as_long, label %compare, label %others
compare:
  %j = phi i64 [0, %sized], [%j1, %equal]
  %more = icmp slt i64 %j, %size
  br i1 %more, label %item, label %found_first
item:
  %at_j = add i64 %j, 3
  %fw = call i64 @word(ptr %first, i64 %at_j)
  %fi = inttoptr i64 %fw to ptr
  %kq = getelementptr ptr, ptr %key, i64 %j
  %kx = load ptr, ptr %kq
  %identical = icmp eq ptr %fi, %kx
  br i1 %identical, label %equal, label %differ
differ:
  %kj = add i64 %j, {before}
  %its_kind = call i64 @word(ptr %binding, i64 %kj)
  %by_value = icmp eq i64 %its_kind, 4
  %later = icmp sgt i64 %j, 0
  %compared = and i1 %by_value, %later
  br i1 %compared, label %types, label %others
types:
  %tf = call ptr @at(ptr %fi, i64 8)
  %tk = call ptr @at(ptr %kx, i64 8)
  %alike = icmp eq ptr %tf, %tk
  br i1 %alike, label %ask, label %others
ask:
  %answer = call i32 @PyObject_RichCompareBool(ptr %fi, ptr %kx, i32 2)
  %yes = icmp eq i32 %answer, 1
  br i1 %yes, label %equal, label %unequal
unequal:
  %wrong = icmp slt i32 %answer, 0
  br i1 %wrong, label %error, label %others
equal:
  %j1 = add i64 %j, 1
  br label %compare
found_first:
  %v0 = call ptr @at(ptr %st, i64 {first})
  br label %found

others:
  %table = call ptr @at(ptr %st, i64 {next})
  %made = call ptr @PyTuple_New(i64 %size)
  %no_tuple = icmp eq ptr %made, null
  br i1 %no_tuple, label %error, label %fill
fill:
  %k = phi i64 [0, %others], [%k1, %fill2]
  %unfilled = icmp slt i64 %k, %size
  br i1 %unfilled, label %fill2, label %search
fill2:
  %sp = getelementptr ptr, ptr %key, i64 %k
  %sx = load ptr, ptr %sp
  call void @Py_IncRef(ptr %sx)
  %at_k = add i64 %k, 3
  %dp = getelementptr ptr, ptr %made, i64 %at_k
  store ptr %sx, ptr %dp
  %k1 = add i64 %k, 1
  br label %fill
search:
  %now = call ptr @at(ptr %tr, i64 {st})
  %here_still = icmp eq ptr %now, %st
  br i1 %here_still, label %lookup, label %not_a_key
lookup:
  %v1 = call ptr @PyDict_GetItemWithError(ptr %table, ptr %made)
  %unknown = icmp eq ptr %v1, null
  br i1 %unknown, label %why, label %known_edge
known_edge:
  call void @Py_DecRef(ptr %made)
  br label %found
why:
  %problem = call ptr @PyErr_Occurred()
  %unhashable = icmp ne ptr %problem, null
  br i1 %unhashable, label %not_a_key, label %arguments
not_a_key:
  call void @Py_DecRef(ptr %made)
  br label %error
arguments:
  %args = call ptr @PyTuple_New(i64 %n)
  %no_args = icmp eq ptr %args, null
  br i1 %no_args, label %not_a_key, label %pass
pass:
  %q = phi i64 [0, %arguments], [%q1, %pass2]
  %unpassed = icmp slt i64 %q, %n
  br i1 %unpassed, label %pass2, label %miss
pass2:
  %aq = getelementptr ptr, ptr %given, i64 %q
  %ax = load ptr, ptr %aq
  call void @Py_IncRef(ptr %ax)
  %at_q = add i64 %q, 3
  %zq = getelementptr ptr, ptr %args, i64 %at_q
  store ptr %ax, ptr %zq
  %q1 = add i64 %q, 1
  br label %pass
miss:
  call void @Py_DecRef(ptr %t)
  %missed = call ptr @object(i64 14)
  %new = call ptr (ptr, ...) @PyObject_CallFunctionObjArgs(ptr %missed, ptr %op, ptr %tr, ptr %made, ptr %args, ptr null)
  call void @Py_DecRef(ptr %made)
  call void @Py_DecRef(ptr %args)
  ret ptr %new

found:
  %v = phi ptr [%v0, %found_first], [%v1, %known_edge]
  %before = call ptr @object(i64 13)
  %moved = icmp ne ptr %before, %tr
  br i1 %moved, label %remember, label %go
remember:
  call void @set(ptr @objects, i64 104, ptr %tr)
  br label %go
go:
  call void @Py_IncRef(ptr %v)
  %ps = getelementptr i8, ptr %t, i64 {_s}
  store ptr %v, ptr %ps
  call void @Py_IncRef(ptr %tr)
  %pt = getelementptr i8, ptr %t, i64 {_tr}
  store ptr %tr, ptr %pt
  call void @Py_IncRef(ptr %none)
  %pb = getelementptr i8, ptr %t, i64 {_base}
  store ptr %none, ptr %pb
  call void @Py_IncRef(ptr %none)
  %pm = getelementptr i8, ptr %t, i64 {_storage}
  store ptr %none, ptr %pm
  %scalars = call ptr @at(ptr %tr, i64 {scalars})
  br label %numbers0
numbers0:
  %m = phi i64 [0, %go], [%m1, %numbers1]
  %unnoted = icmp slt i64 %m, %many
  br i1 %unnoted, label %numbers1, label %move
numbers1:
  %mp = getelementptr ptr, ptr %numbers, i64 %m
  %mx = load ptr, ptr %mp
  %r1 = call i32 @PyList_Append(ptr %scalars, ptr %mx)
  %m1 = add i64 %m, 1
  br label %numbers0
move:
  call void @Py_IncRef(ptr %v)
  %pst = getelementptr i8, ptr %tr, i64 {st}
  store ptr %v, ptr %pst
  %ts = call ptr @at(ptr %tr, i64 {ts})
  %r2 = call i32 @PyList_Append(ptr %ts, ptr %t)
  call void @Py_DecRef(ptr %st)
  %ff = and i64 %flags, 3
  %finishes = icmp ne i64 %ff, 0
  br i1 %finishes, label %finish, label %done
done:
  ret ptr %t
finish:
  %function = call ptr @object(i64 6)
  %given0 = load ptr, ptr %given
  %made_by = call ptr (ptr, ...) @PyObject_CallFunctionObjArgs(ptr %function, ptr %op, ptr %tr, ptr %t, ptr %given0, ptr null)
  call void @Py_DecRef(ptr %t)
  ret ptr %made_by

error:
  call void @PyErr_Clear()
  br label %slow
slow:
  call void @Py_DecRef(ptr %t)
  %python = call ptr @at(ptr %binding, i64 8)
  %told = call ptr @PyObject_Vectorcall(ptr %python, ptr %given, i64 %count, ptr null)
  ret ptr %told
}}

define ptr @record(ptr %self, ptr %given, i64 %count) {{
  %binding = call ptr @PyLong_AsVoidPtr(ptr %self)
  %result = call ptr @step(ptr %binding, ptr %given, i64 %count)
  ret ptr %result
}}
"""

_METHOD = """
define ptr @method_{k}(ptr %self, ptr %other) {{
  %p = getelementptr [{methods} x ptr], ptr @methods, i64 0, i64 {k}
  %binding = load ptr, ptr %p
  %both = alloca [2 x ptr]
  store ptr %self, ptr %both
  %second = getelementptr ptr, ptr %both, i64 1
  store ptr %other, ptr %second
  %unary = icmp eq ptr %other, null
  %n = select i1 %unary, i64 1, i64 2
  %result = call ptr @step(ptr %binding, ptr %both, i64 %n)
  ret ptr %result
}}
"""


def text(offsets: dict[str, int]) -> str:
    """The module's text for slots that lie at `offsets`."""
    main = HELPERS + _TEXT.format(most=MOST, most1=MOST + 1, methods=METHODS, head=_HEAD, before=_HEAD - 1, **offsets)
    return main + "".join(_METHOD.format(k=k, methods=METHODS) for k in range(METHODS))


EXPORTS = ("record", "entered", "objects", "methods", *(f"method_{k}" for k in range(METHODS)))


class NativeRecorder:
    """Makes native recording functions and methods, given the loaded module's addresses."""

    def __init__(self, code: dict[str, int], objects: dict[str, object]):
        self._code = code
        self._held: list = []
        self._methods = 0
        self._held.append(name_objects(code["objects"], _FIELDS, objects))

    def entered(self):
        """`segments.entered`."""
        return python_function("entered", self._code["entered"])

    def _binding(self, op, python, kinds: list[int], flags: int):
        words = (ctypes.c_void_p * (_HEAD + len(kinds)))(id(op), id(python), len(kinds), flags, *kinds)
        self._held += [words, op, python]
        return ctypes.addressof(words)

    def function(self, op, python, kinds: list[int], flags: int):
        """A function of as many positional arguments as `kinds` says; `python` is for what is unusual."""
        address = self._binding(op, python, kinds, flags)
        return python_function(op.name, self._code["record"], address)

    def method(self, kind: type, name: str, op, python, kinds: list[int]):
        """A method of the class `kind`, or None if there are no more: for Python's operators."""
        k = self._methods
        if k == METHODS:
            return None
        self._methods = k + 1
        table = (ctypes.c_void_p * METHODS).from_address(self._code["methods"])
        table[k] = self._binding(op, python, kinds, 0)
        return python_method(kind, name, self._code[f"method_{k}"], len(kinds) == 1)
