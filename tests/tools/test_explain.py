"""explain(): programs, kernels with lines and costs, host reads, tier-0 steps; text and page."""

from __future__ import annotations

from compile.compiled import run as run_until_native

import rushlight as torch
from rushlight.compile import background
from rushlight.interpret import program as tier0_program


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
    assert any("test_explain.py:15" in line for k in kernels for line in k.lines)
    assert [line.split(":")[0] for line in rows[0].reads] == ["test_explain.py"]
    told = str(report)
    assert "3 programs run" in told and "of the limit" in told
    report.save(tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert "As recorded" in page and "After fusion" in page and "http" not in page


def test_watching_changes_no_result():
    def values():
        x = torch.arange(12.0).reshape(3, 4)
        return (x.softmax(1) * 2).sum(0)

    plain = run_until_native(values, "now")
    with torch.explain():
        watched = run_until_native(values, "now")
    assert (plain == watched).all() and not tier0_program.WATCH
