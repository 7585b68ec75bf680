"""Loop nests read as loops; show_kernels prints those of a line."""

from __future__ import annotations

import io

import rushlight as torch
from rushlight.compile import background


def softmax_rows():
    x = torch.arange(32.0).reshape(4, 8)
    return (x * 0.5).softmax(1).sum().item()  # LINE


def test_show_kernels(monkeypatch):
    monkeypatch.setattr(background, "MODE", "now")
    for _ in range(6):
        softmax_rows()
    line = next(i for i, text in enumerate(open(__file__), 1) if "# LINE" in text)
    out = io.StringIO()
    torch.show_kernels(f"test_printing.py:{line}", what="loops llvm asm", file=out)
    told = out.getvalue()
    assert "for i0 in range(4):\n    for j0 in range(8):" in told
    assert "= max(max" in told and "exp(" in told
    assert "define void @nest" in told and ".globl" in told


def test_compile_is_at_once(monkeypatch):
    monkeypatch.setattr(background, "MODE", "background")
    model = torch.nn.Linear(2, 2)
    assert torch.compile(model) is model and background.MODE == "now"
    assert torch.compile(mode="max-autotune")(model) is model
