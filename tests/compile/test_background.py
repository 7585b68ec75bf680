"""Compilation behind the program's back: it takes over, it may fail, it may be shared and forked."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
from types import SimpleNamespace

import pytest

import rushlight as torch
from rushlight.compile import background, native
from rushlight.interpret import program as tier0_program
from rushlight.trace import trie


def child(program: str, **environment) -> str:
    import os

    told = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True,
        timeout=120, env={**os.environ, **environment},
    )
    assert told.returncode == 0, told.stderr[-3000:]
    return told.stdout.strip()


STEPS = """
    import rushlight as torch, time
    from rushlight.compile import background
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.Tanh(), torch.nn.Linear(16, 4))
    optimizer = torch.optim.Adam(net.parameters())
    x = torch.randn(32, 8)
    def step():
        optimizer.zero_grad()
        loss = net(x).square().mean()
        loss.backward()
        optimizer.step()
        return loss.item()
"""


def test_native_code_takes_over_in_the_background():
    told = child(STEPS + """
    from rushlight.interpret.program import Program
    import gc
    losses, programs = [], []
    while not programs:
        losses += [step() for _ in range(30)]
        background.wait()
        programs = [p for p in gc.get_objects()
                    if type(p) is Program and p.offered and p.instructions]
    assert not background.failures, background.failures
    assert all(p.native is not None for p in programs)
    losses += [step() for _ in range(4)]
    assert losses == sorted(losses, reverse=True)
    print("native", len(programs))
    """, RUSHLIGHT_COMPILE="background")
    assert told.startswith("native")


@pytest.mark.filterwarnings("ignore:a program stays")
def test_a_failing_build_leaves_tier_0(monkeypatch):
    def broken(*_, **__):
        raise ArithmeticError("planted")

    monkeypatch.setattr(native, "build", broken)
    monkeypatch.setattr(background, "MODE", "now")
    monkeypatch.setattr(background, "failures", [])
    monkeypatch.delenv("RUSHLIGHT_STRICT", raising=False)
    trie.forget()
    values = [(torch.ones(5) * 3 - 1).sum().item() for _ in range(6)]
    assert values == [10.0] * 6
    assert any(isinstance(e, ArithmeticError) for _, e in background.failures)


@pytest.mark.parametrize("mode", ["now", "never"])
def test_threads_run_the_same_programs(mode, monkeypatch):
    """Also where one thread extends the trie that another is walking."""
    monkeypatch.setattr(background, "MODE", mode)
    trie.forget()
    found = {}

    def work(k):
        x = torch.full((200, 50), float(k))
        found[k] = [((x + 1) * 2).sum().item() for _ in range(12)]

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert found == {k: [(k + 1) * 2 * 10_000.0] * 12 for k in range(4)}


def test_fork_and_spawn_after_native_code_ran():
    told = child(STEPS + """
    import multiprocessing, os
    for _ in range(8):
        step()
    pid = os.fork()
    if pid == 0:
        first = step()
        os._exit(0 if all(step() <= first for _ in range(6)) else 1)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        print(pool.map(abs, [-3]))
    """, RUSHLIGHT_COMPILE="now")
    assert told == "[3]"


def test_two_processes_share_the_kernels(tmp_path):
    program = STEPS + """
    from rushlight.compile.llvm import objects
    print(sum(step() for _ in range(8)), objects.Counters.compiled)
    """
    environment = {"RUSHLIGHT_COMPILE": "now", "RUSHLIGHT_CACHE": str(tmp_path)}
    made = []
    threads = [threading.Thread(target=lambda: made.append(child(program, **environment)))
               for _ in range(2)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    # (when a long program is compiled depends on time, and its rounding with it)
    assert float(made[0].split()[0]) == pytest.approx(float(made[1].split()[0]), rel=1e-6)
    assert child(program, **environment).split()[1] == "0"


def test_the_same_bits_for_any_number_of_threads():
    told = {
        child("""
        import rushlight as torch, hashlib, sys
        torch.set_num_threads(int(sys.argv[1]) if len(sys.argv) > 1 else THREADS)
        torch.manual_seed(0)
        x, w = torch.randn(700, 300), torch.randn(300, 500)
        for _ in range(6):
            y = torch.nn.functional.layer_norm(x @ w, (500,)).softmax(1)
            z = (y.sum(0), y.sum(), (y.T @ x).exp().mean(1))
            made = b"".join(t.numpy().tobytes() for t in z)
        print(hashlib.sha256(made).hexdigest())
        """.replace("THREADS", str(n)), RUSHLIGHT_COMPILE="now")
        for n in (1, 2, 5)
    }
    assert len(told) == 1


def test_numbers_that_take_another_branch(monkeypatch):
    """A program compiled for weight_decay 0 is right when weight decay sets in."""
    monkeypatch.setattr(background, "MODE", "now")

    def train(mode):
        monkeypatch.setattr(background, "MODE", mode)
        trie.forget()
        p = torch.nn.Parameter(torch.ones(10))
        optimizer = torch.optim.SGD([p], lr=0.1, momentum=0.5)
        for i in range(12):
            optimizer.param_groups[0]["weight_decay"] = 0.0 if i < 8 else 0.3
            optimizer.zero_grad()
            (p * p).sum().backward()
            optimizer.step()
        return p.detach().numpy()

    assert abs(train("now") - train("never")).max() < 1e-6


def test_a_native_form_that_comes_while_tier_0_fails(monkeypatch):
    """What tier 0 had computed before the error stays usable."""
    monkeypatch.setattr(background, "MODE", "never")
    trie.forget()
    run = tier0_program.Program.run
    seen = []

    def compiled_meanwhile(self, bufs, scalars):
        if self.native is None and len(self.instructions) > 1:
            seen.append(self)
            tier0_program.compile_program(self)
            try:
                return self.plain(bufs, scalars, self.consts)
            finally:
                background.compile_now(self, scalars)
        return run(self, bufs, scalars)

    def program(divisor):
        x = torch.ones(3) * 2.0 + 1.0
        y = torch.tensor([5, 6]) % torch.tensor(divisor)
        return x, y

    for _ in range(2):
        program(3)[1].tolist()
    monkeypatch.setattr(tier0_program.Program, "run", compiled_meanwhile)
    x, y = program(0)
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        y.tolist()
    assert seen and seen[-1].native is not None
    assert x.tolist() == [3.0, 3.0, 3.0]


def test_a_native_form_that_fails_keeps_views_and_what_has_no_elements(monkeypatch):
    monkeypatch.setattr(background, "MODE", "now")
    trie.forget()

    def program(divisor):
        x = torch.arange(6.0).reshape(2, 3) * 2.0
        turned = x.T
        turned[0] += 1.0
        rest, empty = turned[1:], torch.ones(0, 3) * 2.0
        y = torch.tensor([5, 6]) % torch.tensor(divisor)
        return x, turned, rest, empty, y

    for _ in range(8):
        made = program(3)
        made[-1].tolist()
    x, turned, rest, empty, y = program(0)
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        y.tolist()
    assert x.tolist() == [[1.0, 2.0, 4.0], [7.0, 8.0, 10.0]]
    assert turned.tolist() == [[1.0, 7.0], [2.0, 8.0], [4.0, 10.0]] and rest.tolist() == turned.tolist()[1:]
    assert empty.tolist() == [] and empty.shape == (0, 3)


def test_interrupt_during_a_kernel():
    told = child("""
    import rushlight as torch, signal, threading, time, os
    signal.signal(signal.SIGINT, signal.default_int_handler)  # (ignored in jobs of the background)
    x = torch.randn(600, 600)
    for _ in range(5):
        (x @ x).sum().item()
    threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    try:
        for _ in range(100000):
            (x @ x).sum().item()
    except KeyboardInterrupt:
        print("interrupted", bool(abs((x @ x).sum().item()) >= 0))
    """, RUSHLIGHT_COMPILE="now")
    assert told == "interrupted True"


def test_never(monkeypatch):
    monkeypatch.setattr(background, "MODE", "never")
    monkeypatch.setattr(background, "compile_now", None)
    trie.forget()
    assert [(torch.ones(3) * 2).sum().item() for _ in range(6)] == [6.0] * 6
    tier0_program.HOPES[0] = 3  # that new programs find a shared form, which is in vain
    assert (torch.ones(4) * 2 + 1).sum().item() == 12.0 and tier0_program.HOPES[0] == 0


def test_a_run_that_was_disturbed_is_no_measure(monkeypatch):
    """How long a program takes is what it waits for the compiler at most."""
    monkeypatch.setattr(background, "MODE", "never")
    trie.forget()
    runs = []
    run = tier0_program.Program.run
    monkeypatch.setattr(tier0_program.Program, "run", lambda *a: (runs.append(a), run(*a))[1])
    for _ in range(3):
        (torch.ones(3) * 2 + 1).tolist()
    program, bufs, scalars = runs[-1]
    program.seconds = program.spent = 0.0
    times = iter([0.0, 7.0, 10.0, 10.5, 20.0, 29.0])
    monkeypatch.setattr(tier0_program, "clock", lambda: next(times))
    for _ in range(3):
        assert program._timed(bufs, scalars)[0].tolist() == [3.0] * 3
    assert (program.seconds, program.spent) == (0.5, 8.0)


def test_the_compiler_is_imported_in_its_own_thread():
    told = child("""
    import os, sys, threading
    import rushlight as torch
    from rushlight.compile import background

    seen = []
    class Look:
        def find_spec(self, name, *_):
            if name == "rushlight.compile.native":
                seen.append(threading.current_thread().name)
    sys.meta_path.insert(0, Look())
    x = torch.ones(8)
    def program(n):
        y = x[:n]
        for _ in range(10):
            y = y * 2 - 1
        return y.sum().item()
    for _ in range(3):  # (what is new runs at once, and is no program)
        assert program(8) == 8.0
    pid = os.fork()  # perhaps meanwhile: it waits for the import
    if pid == 0:
        assert background._importing.acquire(False)
        background._importing.release()
    for n in range(1, 9):
        assert program(n) == n
    background.wait()
    if pid == 0:
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    print(seen[0], background._here[0], len(background.failures))
    """, RUSHLIGHT_COMPILE="background")
    assert told == "rushlight-compile True 0"


def test_a_long_program_is_compiled_after_its_first_run(monkeypatch):
    """And a program that waits for the compiler runs in tier 0 when its time is up."""
    monkeypatch.setattr(background, "MODE", "background")
    monkeypatch.setattr(tier0_program, "COST", -1.0)
    monkeypatch.setattr(tier0_program, "LONG", -1.0)
    trie.forget()
    x = torch.full((300,), 2.0)

    def step():
        return ((x + 1) * 2).sum().item()

    assert [step() for _ in range(3)] == [1800.0] * 3  # at once, in tier 0, in either tier
    background.wait()
    with torch.explain() as report:
        assert step() == 1800.0
    assert [row.tier for row in report.rows()] == [1]


def test_a_forked_child_compiles_for_itself(monkeypatch):
    """What waits for the parent's thread becomes hot again."""
    program = SimpleNamespace(offered=True, pending=threading.Event())
    monkeypatch.setattr(background, "_queue", background._queue)
    monkeypatch.setattr(background, "_worker", [None])
    monkeypatch.setattr(background, "_waiting", [program])
    background.after_fork()
    assert not program.offered and program.pending is None and not background._waiting


def test_the_process_ends_while_the_compiler_is_at_work(tmp_path):
    """LLVM's own data goes away at the end of a process: under a compiler at work, that crashed it."""
    program = textwrap.dedent("""
        import threading
        import rushlight as torch
        from rushlight.compile.llvm import objects

        at_work, compile_text = threading.Event(), objects.compile_text

        def noted(text, *more):
            if len(text) > 200_000:  # takes LLVM longer than the interpreter needs to end
                at_work.set()
            return compile_text(text, *more)

        objects.compile_text = noted
        x, w = torch.ones(64, 3, 16, 16), torch.ones(8, 3, 3, 3, requires_grad=True)
        while not at_work.is_set():
            y = torch.relu(torch.nn.functional.conv2d(x, w, padding=1))
            torch.nn.functional.max_pool2d(y, 2).logsumexp(1).sum().backward()
            w.grad.sum().item()
        print("end")
    """)
    for k in range(4):
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, timeout=300,
            env={**os.environ, "RUSHLIGHT_COMPILE": "background", "RUSHLIGHT_CACHE": str(tmp_path / str(k))},
        )
        assert (done.returncode, done.stdout) == (0, "end\n"), done.stderr


def test_what_took_far_longer_than_compiling_does_not_wait_for_others_like_it(monkeypatch):
    """A program's second run is native, also while new programs may find a form that they share."""
    asked = []
    trie.forget()
    monkeypatch.setattr(tier0_program, "FAMILY", [None])
    monkeypatch.setattr(tier0_program, "TIER1", [lambda program, scalars: asked.append(program) or True])
    monkeypatch.setattr(tier0_program, "LONG", -1.0)
    for cost, count in ((1e9, 0), (0.0, 1)):
        monkeypatch.setattr(tier0_program, "COST", cost)
        monkeypatch.setattr(tier0_program, "HOPES", [3])
        trie.forget()
        x = torch.ones(5)
        for _ in range(3):  # new, and a program that is run once (what comes before x is a program of its own)
            x.mul(2).add(1).sum().item()
        assert len(asked) == count
    trie.forget()
