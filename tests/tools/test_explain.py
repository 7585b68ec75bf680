"""explain(): programs, kernels with lines and costs, host reads, tier-0 steps; text and page."""

from __future__ import annotations

from dataclasses import replace

import pytest
from compile.compiled import run as run_until_native

import rushlight as torch
from rushlight.compile import background, timing
from rushlight.compile.kernels import matmul
from rushlight.compile.kernels.call import Address
from rushlight.compile.llvm import target
from rushlight.interpret import program as tier0_program
from rushlight.tools import explain


def loop(n: int):
    x = torch.linspace(0.0, 1.0, 4096).reshape(64, 64)
    for _ in range(n):
        y = (x @ x).relu() + 1.0
        y = y.sum().item()
    return y


def test_report_of_native_programs(tmp_path, monkeypatch):
    monkeypatch.setattr(background, "MODE", "now")
    loop(6)
    with torch.explain() as report:
        loop(3)
    assert report.counts["misses"] == 0
    rows = [r for r in report.rows() if r.tier == 1]
    assert len(rows) == 1
    kernels = rows[0].kernels()
    assert sum(k.flops for k in kernels) >= 2 * 64**3
    assert all(k.runs == rows[0].runs and k.seconds > 0 for k in kernels)
    product = f"test_explain.py:{loop.__code__.co_firstlineno + 3}"
    assert any(product in line for k in kernels for line in k.lines)
    assert [line.split(":")[0] for line in rows[0].reads] == ["test_explain.py"]
    told = str(report)
    assert "3 programs run" in told and "of the limit" in told
    report.save(tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert "As recorded" in page and "After fusion" in page and "http" not in page


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
def test_kernels_know_their_arithmetic(dtype, monkeypatch):
    monkeypatch.setattr(background, "MODE", "now")
    x = torch.ones(64, 64, dtype=getattr(torch, dtype))
    for _ in range(6):
        ((x * 2).sin() @ x).sum().item()
    with torch.explain() as report:
        ((x * 2).sin() @ x).sum().item()
    kernels = [k for row in report.rows() for k in row.kernels() if k.flops]
    assert len(kernels) >= 2 and "of the limit" in str(report)
    nests = {k.arithmetic for k in kernels if k.flops < 2 * 64**3}
    assert nests == {"float64" if dtype == "float64" else "float32"}


def test_products_of_bfloat16_have_a_limit_of_their_own():
    def arithmetic(dtype, target):
        a = matmul.Matrix(Address("a"), 512, 1)
        calls = matmul.plan(matmul.Product(a, a, a, 512, 512, 512, dtype=dtype), target)
        return calls, next(c.arithmetic for c in calls if c.flops == 2 * 512**3)

    block = replace(target.AVX512, amx=True)
    calls, found = arithmetic("bfloat16", block)
    assert found == "bfloat16" and calls[-1].function == "amx"
    assert arithmetic("bfloat16", replace(target.AVX512, bfloat16_dot=True))[1] == "bfloat16"
    assert arithmetic("bfloat16", target.AVX2)[1] == "float32"
    assert arithmetic("float64", block)[1] == "float64"


def test_share_of_the_limit(monkeypatch):
    speeds = {"float32": 4e9, "float64": 2e9, "bfloat16": 64e9}
    monkeypatch.setattr(timing, "most_flops", speeds.__getitem__)
    monkeypatch.setattr(timing, "most_bytes", lambda: 1e9)

    def share(**known):
        return explain._Kernel("", [], runs=2, seconds=4.0, **known).share

    for arithmetic, speed in speeds.items():
        assert share(flops=int(speed), arithmetic=arithmetic) == 0.5
    assert share(flops=1, nbytes=10**9) == 0.5  # bound by memory
    assert explain._Kernel("", []).share == 0.0


def test_limits_are_measured_once():
    for arithmetic in ("float32", "float64", "bfloat16"):
        assert 0 < timing.most_flops(arithmetic) == timing.most_flops(arithmetic)


def test_watching_changes_no_result():
    def values():
        x = torch.arange(12.0).reshape(3, 4)
        return (x.softmax(1) * 2).sum(0)

    plain = run_until_native(values, "now")
    with torch.explain():
        watched = run_until_native(values, "now")
    assert (plain == watched).all() and not tier0_program.WATCH
