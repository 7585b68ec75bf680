"""A pool of threads that claim chunks of work from one atomic word, written in LLVM IR.

`pool_run(function, argument, n)` calls `function(argument, chunk, thread)` for every chunk below n and
returns when all are done. The word holds `generation << 48 | end << 24 | begin`: chunks from begin
to end are left; a thread claims one by compare-and-swap, even threads the first one, odd threads the
last: one kernel after the other, a thread meets about the same part of the data, which its cache
still holds. The caller works too and waits only for chunks that were claimed, never for a
thread that sleeps: on a busy machine, work does not wait for the scheduler. Idle workers spin for
about half a millisecond, then sleep on a futex. A second caller, or a forked child, which has no
workers, does its work alone.
"""

from __future__ import annotations

SPINS = 20_000

_TEXT = """
@pool_word = global i64 0, align 64
@pool_done = global i64 0, align 64
@pool_generation = global i32 0, align 64
@pool_sleepers = global i32 0, align 64
@pool_function = global ptr null, align 64
@pool_argument = global ptr null, align 8
@pool_busy = global i32 0, align 64
@pool_wanted = global i64 0, align 8
declare i64 @syscall(i64, ...)
declare i32 @pthread_create(ptr, ptr, ptr, ptr)
declare i32 @pthread_detach(i64)
{declare_pause}

define internal void @pool_drain(i32 %generation, i64 %thread) {{
entry:
  %all = zext i32 %generation to i64
  %wide = and i64 %all, 65535
  %side = and i64 %thread, 1
  %odd = icmp ne i64 %side, 0
  br label %look
look:
  %word = load atomic i64, ptr @pool_word acquire, align 8
  %of = lshr i64 %word, 48
  %over = lshr i64 %word, 24
  %end = and i64 %over, 16777215
  %begin = and i64 %word, 16777215
  %same = icmp eq i64 %of, %wide
  %some = icmp ult i64 %begin, %end
  %both = and i1 %same, %some
  br i1 %both, label %claim, label %out
claim:
  %function = load ptr, ptr @pool_function
  %argument = load ptr, ptr @pool_argument
  %last = sub i64 %end, 1
  %chunk = select i1 %odd, i64 %last, i64 %begin
  %step = select i1 %odd, i64 -16777216, i64 1
  %less = add i64 %word, %step
  %swap = cmpxchg ptr @pool_word, i64 %word, i64 %less seq_cst seq_cst
  %won = extractvalue {{i64, i1}} %swap, 1
  br i1 %won, label %work, label %look
work:
  call void %function(ptr %argument, i64 %chunk, i64 %thread)
  %before = atomicrmw add ptr @pool_done, i64 1 seq_cst
  br label %look
out:
  ret void
}}

define internal ptr @pool_worker(ptr %given) {{
entry:
  %thread = ptrtoint ptr %given to i64
  br label %fresh
fresh:
  %last = phi i32 [0, %entry], [%now, %went]
  br label %spin
spin:
  %spins = phi i32 [0, %fresh], [%more, %idle], [0, %sleep]
  %now = load atomic i32, ptr @pool_generation acquire, align 4
  %new = icmp ne i32 %now, %last
  br i1 %new, label %go, label %idle
idle:
  {pause}
  %more = add i32 %spins, 1
  %again = icmp slt i32 %more, {spins}
  br i1 %again, label %spin, label %sleep
sleep:
  %s0 = atomicrmw add ptr @pool_sleepers, i32 1 seq_cst
  {wait}
  %s1 = atomicrmw sub ptr @pool_sleepers, i32 1 seq_cst
  br label %spin
go:
  %wanted = load i64, ptr @pool_wanted
  %mine = icmp sle i64 %thread, %wanted
  br i1 %mine, label %drain, label %went
drain:
  call void @pool_drain(i32 %now, i64 %thread)
  br label %went
went:
  br label %fresh
}}

define void @pool_start(i64 %first, i64 %last) {{
entry:
  %slot = alloca i64
  br label %more
more:
  %i = phi i64 [%first, %entry], [%after, %make]
  %some = icmp sle i64 %i, %last
  br i1 %some, label %make, label %out
make:
  %given = inttoptr i64 %i to ptr
  %r = call i32 @pthread_create(ptr %slot, ptr null, ptr @pool_worker, ptr %given)
  %id = load i64, ptr %slot
  %d = call i32 @pthread_detach(i64 %id)
  %after = add i64 %i, 1
  br label %more
out:
  ret void
}}

define void @pool_use(i64 %workers) {{
entry:
  store i64 %workers, ptr @pool_wanted
  ret void
}}

define void @pool_forked() {{
entry:
  store i32 0, ptr @pool_busy
  store i32 0, ptr @pool_sleepers
  store i64 0, ptr @pool_wanted
  ret void
}}

define void @pool_run(ptr %function, ptr %argument, i64 %n) {{
entry:
  %wanted = load i64, ptr @pool_wanted
  %none = icmp eq i64 %wanted, 0
  %many = icmp ugt i64 %n, 16777215
  %alone = or i1 %none, %many
  br i1 %alone, label %serial, label %lock
lock:
  %swap = cmpxchg ptr @pool_busy, i32 0, i32 1 seq_cst seq_cst
  %mine = extractvalue {{i32, i1}} %swap, 1
  br i1 %mine, label %share, label %serial
serial:
  %c = phi i64 [0, %entry], [0, %lock], [%c1, %serial2]
  %left = icmp slt i64 %c, %n
  br i1 %left, label %serial2, label %out
serial2:
  call void %function(ptr %argument, i64 %c, i64 0)
  %c1 = add i64 %c, 1
  br label %serial
share:
  store ptr %function, ptr @pool_function
  store ptr %argument, ptr @pool_argument
  store atomic i64 0, ptr @pool_done seq_cst, align 8
  %g0 = load i32, ptr @pool_generation
  %g = add i32 %g0, 1
  %wide = zext i32 %g to i64
  %high = shl i64 %wide, 48
  %end = shl i64 %n, 24
  %word = or i64 %high, %end
  store atomic i64 %word, ptr @pool_word seq_cst, align 8
  store atomic i32 %g, ptr @pool_generation seq_cst, align 4
  %sleepers = load atomic i32, ptr @pool_sleepers seq_cst, align 4
  %any = icmp ne i32 %sleepers, 0
  br i1 %any, label %wake, label %work
wake:
  {wake}
  br label %work
work:
  call void @pool_drain(i32 %g, i64 0)
  br label %join
join:
  %done = load atomic i64, ptr @pool_done acquire, align 8
  %all = icmp eq i64 %done, %n
  br i1 %all, label %release, label %join2
join2:
  {pause}
  br label %join
release:
  store atomic i32 0, ptr @pool_busy seq_cst, align 4
  br label %out
out:
  ret void
}}
"""


def text(machine: str, system: str) -> str:
    """The pool's IR for a machine ("x86_64", "aarch64") and an operating system ("linux", ...)."""
    x86 = machine in ("x86_64", "AMD64")
    pause = "call void @llvm.x86.sse2.pause()" if x86 else "call void asm sideeffect \"yield\", \"\"()"
    wait = "%w = call i32 @usleep(i32 50)"
    wake = "%k = add i32 0, 0"
    declare = "declare void @llvm.x86.sse2.pause()" if x86 else ""
    if system == "linux":
        futex = 202 if x86 else 98
        call = f"call i64 (i64, ...) @syscall(i64 {futex}, ptr @pool_generation"
        wait = f"%w = {call}, i32 128, i32 %last, ptr null, ptr null, i32 0)"
        wake = f"%k = {call}, i32 129, i32 2147483647, ptr null, ptr null, i32 0)"
    else:
        declare += "\ndeclare i32 @usleep(i32)"
    return _TEXT.format(pause=pause, wait=wait, wake=wake, declare_pause=declare, spins=SPINS)


EXPORTS = ("pool_start", "pool_use", "pool_forked", "pool_run")
