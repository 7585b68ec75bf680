"""The cache of machine code: shared, checked, exported and imported."""

from __future__ import annotations

import ctypes
import gc
import subprocess
import sys
import tarfile

import pytest

import rushlight as torch
from rushlight.compile import background
from rushlight.compile.llvm import objects, target
from rushlight.compile.llvm.builder import Function, Library, module
from rushlight.compile.threads import runtime
from rushlight.tools import kernel_cache
from rushlight.trace import trie


def text_adding(n: int) -> str:
    f = Function("add", [("i64", "x")], "i64")
    f.do(f"ret i64 {f.op(f'add i64 %x, {n}')}")
    return module([f])


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("RUSHLIGHT_CACHE", str(tmp_path / "kernels"))
    return tmp_path / "kernels"


def call(code: dict, x: int) -> int:
    return ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)(code["add"])(x)


def test_a_second_process_takes_it_from_the_disk(folder):
    text = text_adding(41_001)
    assert call(objects.load(text, ("add",)), 1) == 41_002
    before = objects.Counters.compiled
    again = objects.object_of(text)
    assert objects.Counters.compiled == before and again
    program = (
        "from rushlight.compile.llvm import objects\n"
        f"objects.object_of({text!r})\n"
        "print(objects.Counters.compiled, objects.Counters.reused)"
    )
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert told.stdout.split() == ["0", "1"]


def test_modules_share_a_library(folder):
    """It is compiled once, is part of what others are known by, and stays as long as one of them."""
    helper = Function("helper", [("i64", "x")], "i64", internal=True, inline=False)
    helper.do(f"ret i64 {helper.op('mul i64 %x, 3')}")
    inside = Function("three", [("i64", "x")], "i64", internal=True, inline=False)
    inside.do(f"ret i64 {inside.op('call i64 @helper(i64 %x)')}")
    library = Library("threes", [inside, helper], ("three",))

    def text(n):
        f = Function("add", [("i64", "x")], "i64")
        f.do(f"ret i64 {f.op(f'add i64 {n}, ' + f.op('call i64 @three(i64 %x)'))}")
        return module([library, f])

    before, there = objects.Counters.compiled, objects.loaded()
    codes = [objects.load(text(n), ("add",)) for n in (41_040, 41_041)]
    assert [call(c, 5) for c in codes] == [41_055, 41_056]
    assert objects.Counters.compiled == before + 3 and objects.loaded() == there + 3
    assert "helper" in objects.assembly(text(41_040))
    del codes[0]
    assert call(codes[0], 5) == 41_056
    codes.clear()
    assert objects.loaded() == there
    inside.lines[0] = inside.lines[0].replace("%x", "7")
    other = Library("threes", [inside, helper], ("three",))
    assert other.name != library.name


def test_code_goes_with_its_last_holder(folder):
    text = text_adding(41_020)
    code, before = objects.load(text, ("add",)), objects.loaded()
    assert objects.load(text, ("add",)) is code
    del code
    assert objects.loaded() == before - 1
    assert call(objects.load(text, ("add",)), 1) == 41_021


def test_a_program_holds_its_code_and_no_longer():
    def step():
        return (torch.arange(7.0) * 2 + 1).sum().item()

    before = background.MODE
    background.MODE = "now"
    try:
        trie.forget()
        runtime()
        gc.collect()
        none = objects.loaded()
        assert {step() for _ in range(6)} == {49.0}
        assert objects.loaded() > none
        trie.forget()
        gc.collect()
        assert objects.loaded() == none
        assert {step() for _ in range(6)} == {49.0}
    finally:
        background.MODE = before
        trie.forget()


@pytest.mark.parametrize("damage", [b"", b"nonsense", None])
def test_a_damaged_file_is_made_anew(folder, damage):
    text = text_adding(41_002 + len(damage or b"x"))
    whole = objects.object_of(text)
    path = folder / f"{objects.key_of(text, target.host())}.o"
    content = path.read_bytes()
    path.write_bytes(content[:-1] if damage is None else damage)
    assert objects.object_of(text) == whole
    assert path.read_bytes() == content


def test_a_cache_that_cannot_be_written_is_no_error(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("RUSHLIGHT_CACHE", str(tmp_path / "file" / "kernels"))
    assert call(objects.load(text_adding(41_009), ("add",)), 1) == 41_010


def test_export_and_import(folder, tmp_path, monkeypatch):
    objects.object_of(text_adding(41_003))
    objects.object_of(text_adding(41_004))
    assert kernel_cache.show().files == 2
    archive = tmp_path / "kernels.tar.gz"
    assert kernel_cache.export(archive) == 2
    assert kernel_cache.clear() == 2 and kernel_cache.show().files == 0
    with tarfile.open(tmp_path / "hostile.tar.gz", "w:gz") as tar:
        stray = tmp_path / "stray"
        stray.write_text("x")
        tar.add(stray, arcname="../outside.o")
        tar.add(stray, arcname=f"{'0' * 64}.o")
    assert kernel_cache.load(tmp_path / "hostile.tar.gz") == 0
    assert not (tmp_path / "outside.o").exists()
    assert kernel_cache.load(archive) == 2
    archive.write_bytes(archive.read_bytes()[:100])
    with pytest.raises(ValueError, match="no whole archive"):
        kernel_cache.load(archive)
    assert kernel_cache.show().files == 2


@pytest.mark.parametrize("level", target.LEVELS)
def test_every_target_compiles(level):
    assert objects.compile_text(text_adding(5), target.LEVELS[level])
