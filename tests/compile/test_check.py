"""RUSHLIGHT_CHECK=1 finds a kernel that computes something else than tier 0."""

from __future__ import annotations

import pytest
from compile.compiled import run

import rushlight as torch
from rushlight.compile import check, emit
from rushlight.compile.llvm import elements


def program():
    x = torch.arange(24.0).reshape(4, 6)
    y = (x * 3).softmax(1)
    return (y + 1).sum(0), y


def test_right_kernels_pass(monkeypatch):
    monkeypatch.setenv("RUSHLIGHT_CHECK", "1")
    run(program, "now")


def test_random_numbers_are_drawn_once(monkeypatch):
    """Tier 0 and the native form see the same ones, and a program draws what it draws without the check."""
    def drawn():
        return torch.ones(100) + torch.randn(100).square(), torch.rand(7)

    def runs():
        torch.manual_seed(0)
        for _ in range(4):
            found = [x.tolist() for x in run(drawn, "now")]
        return found

    plain = runs()
    monkeypatch.setenv("RUSHLIGHT_CHECK", "1")
    assert runs() == plain


def test_a_wrong_kernel_is_named(monkeypatch):
    monkeypatch.setenv("RUSHLIGHT_CHECK", "1")
    monkeypatch.setattr(emit, "_written", {})  # (kernels that were written before)
    right = elements.ARITHMETIC["multiply"]
    monkeypatch.setitem(elements.ARITHMETIC, "multiply", ("add", "fadd"))
    with pytest.raises(check.KernelMismatch, match=r"mul\(.*test_check.py"):
        run(program, "now")
    assert right == ("mul", "fmul")
