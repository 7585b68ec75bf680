"""The profiler: what it sees, its tables and files, and that it leaves nothing behind."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import threading

import pytest
import torch as reference

import rushlight as torch
from rushlight.interpret import measure, tier0
from rushlight.interpret.program import Program
from rushlight.profiler import (
    ProfilerAction,
    ProfilerActivity,
    profile,
    record_function,
    schedule,
    supported_activities,
    tensorboard_trace_handler,
)
from rushlight.trace import flush

nn = torch.nn
PLAIN = tier0.prepare, tier0.run, Program.__call__


@pytest.fixture(autouse=True)
def nothing_left():
    yield
    assert (tier0.prepare, tier0.run, Program.__call__) == PLAIN
    assert not measure.OBSERVERS and not torch.autograd.profiler.COLLECTING


def trainer():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    x, y = torch.randn(5, 6), torch.tensor([0, 1, 2, 0, 1])

    def step():
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(net(x), y)
        loss.backward()
        optimizer.step()
        return loss

    return step


def names(prof):
    return {r.key: r.count for r in prof.key_averages()}


@pytest.mark.parametrize("warm", [0, 1, 5])
def test_operators_of_a_step_whether_new_or_known(warm):
    step = trainer()
    for _ in range(warm):
        step().item()
    with profile() as prof:
        step()
    found = names(prof)
    assert found["linear"] == 2 and found["_relu"] == 1 and found["_sgd_step"] == 4
    assert found["_relu_backward"] == 1
    assert ("program" in found) == (warm > 0)


def test_profiling_changes_no_result():
    plain, watched = trainer(), trainer()
    expected = [plain().item() for _ in range(6)]
    found = []
    for i in range(6):
        with profile(profile_memory=True, record_shapes=True, with_stack=True):
            found.append(watched().item())
    assert found == pytest.approx(expected, rel=1e-6)  # (watched in tier 0, otherwise perhaps compiled)


def test_only_what_is_inside():
    a = torch.ones(3) * 5  # recorded before
    with profile() as prof:
        b = a.exp()
    b = b.log()
    flush()
    assert names(prof).get("exp") == 1 and not {"mul", "log"} & set(names(prof))


def test_dead_operations_do_not_run():
    def work():
        torch.ones(4).exp()
        return torch.ones(4).log()

    for _ in range(3):
        work().sum().item()
    with profile() as prof:
        work().sum().item()
    assert "exp" not in names(prof) and "log" in names(prof)


def test_labels_hold_what_was_recorded_in_them():
    @record_function("whole")
    def work(x):
        with record_function("first"):
            y = x.exp()
        with record_function("second"):
            return y.log()

    for _ in range(3):
        with profile() as prof:
            work(torch.ones(3))
        by_name = {e.name: e for e in prof.events()}

        def labels(e):
            found = []
            while e.cpu_parent is not None:
                e = e.cpu_parent
                found += [e.name] if e.is_user_annotation else []
            return found

        assert labels(by_name["exp"]) == ["first", "whole"]
        assert labels(by_name["log"]) == ["second", "whole"]
        whole = by_name["whole"]
        assert whole.cpu_time_total >= by_name["first"].cpu_time_total + (
            by_name["second"].cpu_time_total)
        assert whole.self_cpu_time_total <= whole.cpu_time_total


def test_labels_outside_cost_nothing_and_work_in_hooks():
    with record_function("outside"):
        x = torch.ones(3, requires_grad=True)
    y = x * 2

    def hook(g):
        with record_function("hook"):
            return g * 3

    y.register_hook(hook)
    with profile() as prof:
        y.sum().backward()
    assert x.grad.tolist() == [6, 6, 6] and names(prof)["hook"] == 1


def test_shapes_flops_and_lines():
    x, w = torch.randn(4, 6), torch.randn(6, 5)
    for _ in range(3):  # the first time, then in a program
        with profile(record_shapes=True, with_flops=True, with_stack=True) as prof:
            y = x @ w
            z = torch.cat([y, y])
            flush()
        e = next(e for e in prof.events() if e.name == "matmul")
        assert e.input_shapes == [[4, 6], [6, 5]] and e.flops == 2 * 4 * 6 * 5
        assert "test_profiler.py(" in e.stack[0] and "test_shapes_flops" in e.stack[0]
        cat = next(e for e in prof.events() if e.name == "cat")
        assert cat.input_shapes[0] == [[4, 5], [4, 5]]
    assert z.shape == (8, 5)
    table = prof.key_averages(group_by_input_shape=True, group_by_stack_n=1).table(sort_by="flops")
    assert "[[4, 6], [6, 5]]" in table and "test_profiler.py" in table and "MFLOPs" in table


def test_memory_that_results_take_and_give_back():
    def work():
        a = torch.ones(1000)
        for _ in range(5):
            a = a.exp().clamp(max=2)
        return a

    peaks = []
    for _ in range(4):
        with profile(profile_memory=True) as prof:
            kept = work()
            flush()
        total = sum(e.self_cpu_memory_usage for e in prof.events())
        assert total == 4000, total  # what is alive at the end
        peaks.append(prof.peak_memory)
        del kept
    # the first time, results live until the segment ends; a program frees what it read last
    assert peaks[0] == 44_000 and 4000 <= peaks[-1] <= 12_000
    table = prof.key_averages().table()
    assert "Self CPU Mem" in table and "Peak memory" in table


def test_grouping_by_shape():
    with profile(record_shapes=True) as prof:
        _kept = [torch.ones(n).exp() for n in (2, 3, 3)]
    groups = [r for r in prof.key_averages(group_by_input_shape=True) if r.key == "exp"]
    assert sorted((str(r.input_shapes), r.count) for r in groups) == [("[[2]]", 1), ("[[3]]", 2)]
    assert sum(r.count for r in prof.key_averages() if r.key == "exp") == 3


def test_table():
    with profile() as prof:
        trainer()()
    averages = prof.key_averages()
    lines = averages.table(sort_by="count", row_limit=2, header="mine").splitlines()
    assert lines[0] == "mine" and "# of Calls" in lines[2] and "more rows" in lines[-2]
    assert lines[-1].startswith("Self CPU time total")
    first = averages.table(sort_by="cpu_time_total", row_limit=1, time_unit="us").splitlines()[3]
    assert first.startswith(max(averages, key=lambda r: r.cpu_time_total).key)
    whole = sum(r.self_cpu_time_total for r in averages)
    assert whole == pytest.approx(averages.self_cpu_time_total)
    assert whole == pytest.approx(sum(e.cpu_time_total for e in prof.events()
                                      if e.cpu_parent is None))
    with pytest.raises(ValueError, match="cannot sort by 'speed'"):
        averages.table(sort_by="speed")
    assert "linear" in str(prof) and averages.total_average().count == len(prof.events())


@pytest.mark.parametrize("options", [
    dict(wait=1, warmup=1, active=2), dict(wait=0, warmup=0, active=1, repeat=3),
    dict(wait=2, warmup=0, active=3, repeat=2, skip_first=4),
    dict(wait=2, warmup=1, active=1, skip_first=1, skip_first_wait=1)])
def test_schedules_are_those_of_pytorch(options):
    ours, theirs = schedule(**options), reference.profiler.schedule(**options)
    assert [ours(n).name for n in range(30)] == [theirs(n).name for n in range(30)]


def test_steps_of_a_schedule(tmp_path):
    cycles = []

    def ready(prof):
        cycles.append([e.name for e in prof.events() if e.name.startswith("ProfilerStep")])

    step = trainer()
    with profile(schedule=schedule(wait=1, warmup=1, active=2, repeat=2), on_trace_ready=ready) as p:
        for _ in range(9):
            step()
            p.step()
    assert cycles == [[f"ProfilerStep#{n}" for n in c] for c in ((2, 3), (6, 7))]
    assert p.current_action is ProfilerAction.NONE and p.step_num == 9
    assert names(p)["_sgd_step"] == 8


def test_a_cycle_that_is_cut_off_is_still_handed_over():
    seen = []
    with profile(schedule=schedule(wait=0, warmup=0, active=5), on_trace_ready=seen.append) as p:
        kept = torch.ones(2).exp()
        p.step()
    assert kept is not None and len(seen) == 1 and names(p)["exp"] == 1


def test_events_of_all_cycles():
    once = schedule(wait=0, warmup=0, active=1)
    with profile(schedule=once, acc_events=True) as p:
        for _ in range(3):
            _kept = torch.ones(2).exp()
            p.step()
    assert names(p)["exp"] == 3


def test_bad_arguments():
    with pytest.raises(ValueError, match="active must be positive"):
        schedule(wait=0, warmup=0, active=0)
    with pytest.raises(ValueError, match="CUDA"):
        profile(activities=[ProfilerActivity.CUDA])
    with pytest.warns(UserWarning, match="no CUDA"):
        profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA])
    with pytest.raises(AssertionError, match="nothing was recorded"):
        profile().events()
    assert supported_activities() == {ProfilerActivity.CPU}


def test_files(tmp_path):
    step = trainer()
    step()
    with profile(record_shapes=True, with_stack=True, profile_memory=True,
                 on_trace_ready=tensorboard_trace_handler(str(tmp_path / "tb"), "me", True)) as p:
        with record_function("mine"):
            step()
        p.add_metadata("note", "first")
    (handed,) = (tmp_path / "tb").iterdir()
    assert handed.name.startswith("me.") and handed.name.endswith(".pt.trace.json.gz")
    assert json.loads(gzip.decompress(handed.read_bytes()))["traceEvents"]
    p.export_chrome_trace(tmp_path / "t.json")
    trace = json.loads((tmp_path / "t.json").read_text())
    assert trace["note"] == "first"
    spans = {e["name"]: e for e in trace["traceEvents"] if e["ph"] == "X"}
    assert spans["mine"]["cat"] == "user_annotation" and spans["linear"]["cat"] == "cpu_op"
    assert spans["linear"]["args"]["Input Dims"][0] == [5, 8]
    assert spans["mine"]["ts"] <= spans["linear"]["ts"]
    assert any(e["ph"] == "C" for e in trace["traceEvents"])
    p.export_memory_timeline(str(tmp_path / "m.json"))
    times, sizes = json.loads((tmp_path / "m.json").read_text())
    assert len(times) == len(sizes) and times == sorted(times)
    p.export_stacks(tmp_path / "s.txt")
    for line in (tmp_path / "s.txt").read_text().splitlines():
        stack, value = line.rsplit(" ", 1)
        assert int(value) > 0 and stack.startswith("mine;") and "test_profiler.py" in stack
    with profile() as bare:
        pass
    with pytest.raises(RuntimeError, match="with_stack"):
        bare.export_stacks(tmp_path / "s.txt")


def test_errors_pass_and_are_the_same():
    def work(i):
        return torch.ones(3).gather(0, torch.tensor([i]) + 0)

    for _ in range(3):
        work(1).item()
    messages = []
    for watch in (False, True):
        with pytest.raises((RuntimeError, IndexError)) as e:
            if watch:
                with profile():
                    work(5).item()
            else:
                work(5).item()
        messages.append(str(e.value).splitlines()[0])
    assert messages[0] == messages[1]


def test_two_profilers_and_threads():
    def work():
        torch.ones(3).tan().sum().item()

    with profile() as outer:
        with profile() as inner:
            t = threading.Thread(target=work)
            t.start()
            t.join()
        work()
    assert names(inner)["tan"] == 1 and names(outer)["tan"] == 2
    assert len({e.thread for e in outer.events()}) == 2


def test_the_older_constructor():
    with torch.autograd.profiler.profile(record_shapes=True) as prof:
        with torch.autograd.profiler.record_function("label"):
            _kept = torch.ones(2).exp()
    assert {"exp", "label"} <= {e.name for e in prof.function_events}
    assert "exp" in prof.table() and prof.self_cpu_time_total > 0
    with torch.autograd.profiler.profile(enabled=False) as off:
        torch.ones(2).exp()
    assert "no events" in repr(off)
    with pytest.raises(RuntimeError, match="emit_nvtx"):
        torch.autograd.profiler.emit_nvtx()


def test_loaded_only_when_used():
    code = ("import sys, rushlight as torch; x = torch.nn.Linear(2, 2); torch.autograd; "
            "assert not [m for m in sys.modules if 'rushlight.profiler' in m or 'tensorboard' in m "
            "or 'rushlight.interpret.measure' in m]; "
            "torch.profiler.profile; torch.utils.tensorboard.SummaryWriter")
    subprocess.run([sys.executable, "-c", code], check=True)
