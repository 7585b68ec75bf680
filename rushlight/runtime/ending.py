"""The end of a segment in native code: `segments.live` and `segments.detach`, in a tenth of their time.

`live(position)` is (leaves, what was made, nodes of what was made): the handles that somebody else holds, which is
read from their reference counts. `detach(position, leaves, made, endings, segment, held)` takes them out of the
segment that ended, and returns the leaves that its history can ask for, or None if there is no history.

Both must agree with the Python functions of the same name, which say what they do and why. Whatever frees an
object may run a destructor of the user's, so lists are read anew after it, and are whole before it.
"""

from __future__ import annotations

from .launch import python_function
from .objects import HELPERS, name_objects

_FIELDS = ("leaf", "none", "true", "zero", "tensor", "parameter", "tuple", "moved")  # in @objects
EXPORTS = ("live", "detach", "objects")

_TEXT = """
declare ptr @PyList_New(i64)
declare ptr @PySequence_Concat(ptr, ptr)
declare i32 @PyList_SetSlice(ptr, i64, i64, ptr)
declare i32 @PyObject_IsInstance(ptr, ptr)
declare void @PyErr_Clear()
declare void @_PyErr_BadInternalCall(ptr, i32)

define internal ptr @item(ptr %list, i64 %i) alwaysinline {{
  %items = call ptr @at(ptr %list, i64 24)
  %p = getelementptr ptr, ptr %items, i64 %i
  %x = load ptr, ptr %p
  ret ptr %x
}}

define internal void @put(ptr %tuple, i64 %i, ptr %x) alwaysinline {{
  %w = add i64 %i, 3
  %p = getelementptr ptr, ptr %tuple, i64 %w
  store ptr %x, ptr %p
  ret void
}}

define ptr @live(ptr %self, ptr %given, i64 %count) {{
entry:
  %tr = load ptr, ptr %given
  %leaf = call ptr @object(i64 0)
  %none = call ptr @object(i64 1)
  %ts = call ptr @at(ptr %tr, i64 {ts})
  %leaves = call ptr @PyList_New(i64 0)
  %made = call ptr @PyList_New(i64 0)
  %result = call ptr @PyTuple_New(i64 3)
  %a = icmp eq ptr %leaves, null
  %b = icmp eq ptr %made, null
  %c = icmp eq ptr %result, null
  %ab = or i1 %a, %b
  %abc = or i1 %ab, %c
  br i1 %abc, label %failed, label %begin
failed:
  ret ptr null
begin:
  call void @Py_IncRef(ptr %ts)
  %count_all = call i64 @word(ptr %ts, i64 2)
  br label %next
next:
  %i = phi i64 [%count_all, %begin], [%at, %forget], [%at, %look]
  %now = call i64 @word(ptr %ts, i64 2)
  %shorter = icmp slt i64 %now, %i
  %least = select i1 %shorter, i64 %now, i64 %i
  %at = sub i64 %least, 1
  %more = icmp sge i64 %at, 0
  br i1 %more, label %look, label %sort
look:
  %t = call ptr @item(ptr %ts, i64 %at)
  %references = load i32, ptr %t
  %listed = icmp eq i32 %references, 1
  br i1 %listed, label %forget, label %next
forget:
  %items = call ptr @at(ptr %ts, i64 24)
  %slot = getelementptr ptr, ptr %items, i64 %at
  call void @Py_IncRef(ptr %none)
  store ptr %none, ptr %slot
  call void @Py_DecRef(ptr %t)
  br label %next

sort:
  %j = phi i64 [0, %next], [%j1, %sorted]
  %n = call i64 @word(ptr %ts, i64 2)
  %unsorted = icmp slt i64 %j, %n
  br i1 %unsorted, label %one, label %order
one:
  %j1 = add i64 %j, 1
  %h = call ptr @item(ptr %ts, i64 %j)
  %gone = icmp eq ptr %h, %none
  br i1 %gone, label %sorted, label %handle
handle:
  %its = call ptr @at(ptr %h, i64 {_tr})
  %here = icmp eq ptr %its, %tr
  br i1 %here, label %keep, label %sorted
keep:
  %s = call ptr @at(ptr %h, i64 {_s})
  %op = call ptr @at(ptr %s, i64 {op})
  %outside = icmp eq ptr %op, %leaf
  %list = select i1 %outside, ptr %leaves, ptr %made
  %r = call i32 @PyList_Append(ptr %list, ptr %h)
  br label %sorted
sorted:
  br label %sort

order:
  %both = call ptr @PySequence_Concat(ptr %leaves, ptr %made)
  %m = call i64 @word(ptr %made, i64 2)
  %nodes = call ptr @PyTuple_New(i64 %m)
  %no_both = icmp eq ptr %both, null
  %no_nodes = icmp eq ptr %nodes, null
  %none_left = or i1 %no_both, %no_nodes
  br i1 %none_left, label %failed, label %fill
fill:
  %k = phi i64 [0, %order], [%k1, %node]
  %unfilled = icmp slt i64 %k, %m
  br i1 %unfilled, label %node, label %done
node:
  %x = call ptr @item(ptr %made, i64 %k)
  %v = call ptr @at(ptr %x, i64 {_s})
  call void @Py_IncRef(ptr %v)
  call void @put(ptr %nodes, i64 %k, ptr %v)
  %k1 = add i64 %k, 1
  br label %fill
done:
  %all = call i64 @word(ptr %ts, i64 2)
  %r1 = call i32 @PyList_SetSlice(ptr %ts, i64 0, i64 %all, ptr %both)
  call void @Py_DecRef(ptr %both)
  call void @Py_DecRef(ptr %ts)
  call void @put(ptr %result, i64 0, ptr %leaves)
  call void @put(ptr %result, i64 1, ptr %made)
  call void @put(ptr %result, i64 2, ptr %nodes)
  ret ptr %result
}}

define internal i1 @in_history(ptr %x) {{
entry:
  %c = call ptr @at(ptr %x, i64 8)
  %tuple = call ptr @object(i64 6)
  %with_history = icmp eq ptr %c, %tuple
  br i1 %with_history, label %yes, label %plain
yes:
  ret i1 true
plain:
  %tensor = call ptr @object(i64 4)
  %parameter = call ptr @object(i64 5)
  %is_t = icmp eq ptr %c, %tensor
  %is_p = icmp eq ptr %c, %parameter
  %is = or i1 %is_t, %is_p
  br i1 %is, label %needs, label %other
other:
  %r = call i32 @PyObject_IsInstance(ptr %x, ptr %tensor)
  %one = icmp eq i32 %r, 1
  br i1 %one, label %needs, label %no_tensor
no_tensor:
  call void @PyErr_Clear()
  br label %yes
needs:
  %s = call ptr @at(ptr %x, i64 {_s})
  %unset = icmp eq ptr %s, null
  br i1 %unset, label %yes, label %look
look:
  %rg = call ptr @at(ptr %s, i64 {rg})
  %true = call ptr @object(i64 2)
  %needed = icmp eq ptr %rg, %true
  ret i1 %needed
}}

define ptr @detach(ptr %self, ptr %given, i64 %count) {{
entry:
  %tr = load ptr, ptr %given
  %g1 = getelementptr ptr, ptr %given, i64 1
  %leaves = load ptr, ptr %g1
  %g2 = getelementptr ptr, ptr %given, i64 2
  %made = load ptr, ptr %g2
  %g3 = getelementptr ptr, ptr %given, i64 3
  %endings = load ptr, ptr %g3
  %g4 = getelementptr ptr, ptr %given, i64 4
  %segment = load ptr, ptr %g4
  %g5 = getelementptr ptr, ptr %given, i64 5
  %held = load ptr, ptr %g5
  %none = call ptr @object(i64 1)
  %zero = call ptr @object(i64 3)
  %count_made = call i64 @word(ptr %made, i64 2)
  %count_endings = call i64 @word(ptr %endings, i64 2)
  %alike = icmp eq i64 %count_made, %count_endings
  br i1 %alike, label %leaf, label %wrong
wrong:
  call void @_PyErr_BadInternalCall(ptr null, i32 0)
  ret ptr null

leaf:
  %i = phi i64 [0, %entry], [%i1, %leaf_next]
  %n = call i64 @word(ptr %leaves, i64 2)
  %left = icmp slt i64 %i, %n
  br i1 %left, label %one_leaf, label %ending
one_leaf:
  %t = call ptr @item(ptr %leaves, i64 %i)
  %its = call ptr @at(ptr %t, i64 {_tr})
  %here = icmp eq ptr %its, %tr
  br i1 %here, label %outside, label %leaf_next
outside:
  call void @set(ptr %t, i64 {_tr}, ptr %none)
  %s = call ptr @at(ptr %t, i64 {_s})
  %was = call ptr @at(ptr %s, i64 {call})
  call void @set(ptr %t, i64 {_s}, ptr %was)
  br label %leaf_next
leaf_next:
  %i1 = add i64 %i, 1
  br label %leaf

ending:
  %j = phi i64 [0, %leaf], [%j1, %ending_next]
  %more = icmp slt i64 %j, %count_made
  br i1 %more, label %one_made, label %history
one_made:
  %x = call ptr @item(ptr %made, i64 %j)
  %x_tr = call ptr @at(ptr %x, i64 {_tr})
  %x_here = icmp eq ptr %x_tr, %tr
  br i1 %x_here, label %end, label %ending_next
end:
  call void @set(ptr %x, i64 {_tr}, ptr %none)
  %e = call ptr @item(ptr %endings, i64 %j)
  %node = call ptr @at(ptr %e, i64 24)
  %v = call ptr @at(ptr %e, i64 32)
  %offset = call ptr @at(ptr %e, i64 40)
  %pure = icmp eq ptr %v, %none
  br i1 %pure, label %no_history, label %made_by
no_history:
  call void @set(ptr %x, i64 {_history}, ptr %none)
  br label %place
made_by:
  %pair = call ptr @PyTuple_New(i64 2)
  %no_pair = icmp eq ptr %pair, null
  br i1 %no_pair, label %failed, label %pair_made
pair_made:
  call void @Py_IncRef(ptr %segment)
  call void @put(ptr %pair, i64 0, ptr %segment)
  call void @Py_IncRef(ptr %v)
  call void @put(ptr %pair, i64 1, ptr %v)
  call void @set(ptr %x, i64 {_history}, ptr %pair)
  call void @Py_DecRef(ptr %pair)
  br label %place
place:
  %at_start = icmp eq ptr %offset, %zero
  br i1 %at_start, label %settled, label %further
settled:
  call void @set(ptr %x, i64 {_s}, ptr %node)
  br label %ending_next
further:
  %moved = call ptr @object(i64 7)
  %there = call ptr (ptr, ...) @PyObject_CallFunctionObjArgs(ptr %moved, ptr %x, ptr %node, ptr %offset, ptr null)
  %not_there = icmp eq ptr %there, null
  br i1 %not_there, label %failed, label %arrived
arrived:
  call void @set(ptr %x, i64 {_s}, ptr %there)
  call void @Py_DecRef(ptr %there)
  br label %ending_next
ending_next:
  %j1 = add i64 %j, 1
  br label %ending
failed:
  ret ptr null

history:
  %over = icmp eq ptr %segment, %none
  br i1 %over, label %nothing, label %collect
nothing:
  call void @Py_IncRef(ptr %none)
  ret ptr %none
collect:
  %all = call ptr @at(ptr %tr, i64 {leaves})
  %total = call i64 @word(ptr %all, i64 2)
  %known = call i64 @word(ptr %held, i64 2)
  %kept = call ptr @PyTuple_New(i64 %total)
  %no_room = icmp eq ptr %kept, null
  br i1 %no_room, label %failed, label %choose
choose:
  %k = phi i64 [0, %collect], [%k1, %chosen]
  %unseen = icmp slt i64 %k, %total
  br i1 %unseen, label %ask, label %done
ask:
  %y = call ptr @item(ptr %all, i64 %k)
  %told = icmp slt i64 %k, %known
  br i1 %told, label %flag, label %look
flag:
  %fw = add i64 %k, 3
  %fp = getelementptr ptr, ptr %held, i64 %fw
  %is = load ptr, ptr %fp
  %true = call ptr @object(i64 2)
  %saved = icmp eq ptr %is, %true
  br i1 %saved, label %take, label %look
look:
  %asked = call i1 @in_history(ptr %y)
  br i1 %asked, label %take, label %leave
take:
  br label %chosen
leave:
  br label %chosen
chosen:
  %z = phi ptr [%y, %take], [%none, %leave]
  call void @Py_IncRef(ptr %z)
  call void @put(ptr %kept, i64 %k, ptr %z)
  %k1 = add i64 %k, 1
  br label %choose
done:
  ret ptr %kept
}}
"""


def text(offsets: dict[str, int]) -> str:
    """The module's text for slots that lie at `offsets`."""
    return HELPERS + _TEXT.format(**offsets)


def functions(code: dict[str, int], objects: dict[str, object]) -> tuple:
    """`live` and `detach` of the loaded module, given its addresses and the objects that `_FIELDS` names."""
    _held.append((code, name_objects(code["objects"], _FIELDS, objects)))
    return python_function("live", code["live"]), python_function("detach", code["detach"])


_held: list = []  # the module, and objects whose addresses it knows
