"""The folder of object files: it keeps its bound, drops what was not used, and never fails a program."""

from __future__ import annotations

import errno
import hashlib
import os
import subprocess
import sys
import time

import pytest

from rushlight.compile.llvm import disk_cache
from rushlight.tools import kernel_cache

BODY = b"x" * 5000  # two blocks of the disk


def key(n: int) -> str:
    return hashlib.sha256(str(n).encode()).hexdigest()


def used(n: int, days_ago: float) -> None:
    when = time.time() - days_ago * disk_cache.DAY
    os.utime(disk_cache.path_of(key(n)), (when, when))


def kept() -> int:
    """Bytes of the disk that the folder takes."""
    return sum(size for _, size, _ in disk_cache.entries())


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("RUSHLIGHT_CACHE", str(tmp_path / "kernels"))
    monkeypatch.setenv("RUSHLIGHT_CACHE_SIZE", "0.1")
    return tmp_path / "kernels"


def test_what_was_used_least_recently_goes(folder, monkeypatch):
    monkeypatch.setattr(disk_cache, "occupied", lambda stat: 8192)  # on every file system
    for n in range(8):
        disk_cache.write(key(n), BODY)
        used(n, 10 + n)
    assert disk_cache.trim() == 0, "not yet passed"
    assert disk_cache.read(key(7)) == BODY, "the oldest, but now it has been used"
    for n in range(8, 16):
        disk_cache.write(key(n), BODY)
    assert kept() <= 100_000
    left = {n for n in range(16) if disk_cache.path_of(key(n)).exists()}
    assert left >= {7, *range(8, 15)} and not left & {4, 5, 6}


def test_a_use_is_noted_once_a_day(folder):
    disk_cache.write(key(0), BODY)
    for days, noted in ((0.5, False), (1.5, True), (-3, True)):
        used(0, days)
        before = disk_cache.path_of(key(0)).stat().st_mtime
        assert disk_cache.read(key(0)) == BODY
        after = disk_cache.path_of(key(0)).stat().st_mtime
        assert (after != before) == noted and (not noted or abs(after - time.time()) < 60)


def test_every_size_keeps_its_bound(folder, monkeypatch):
    """Whoever writes looks only now and then; what is passed by meanwhile is a part of the bound."""
    for megabytes in ("0", "0.01", "1", "3"):
        monkeypatch.setenv("RUSHLIGHT_CACHE_SIZE", megabytes)
        for n in range(1000):
            disk_cache.write(key(n), BODY)
        assert kept() <= 2e6 * float(megabytes)
    assert kept() > 0.5e6 * float(megabytes)


def test_processes_share_it(folder):
    """Three write, read and remove at once; what each reads is right."""
    program = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from test_disk_cache import *\n"
        "for n in range(600):\n"
        "    k = key(n % 150)\n"
        "    found = disk_cache.read(k)\n"
        "    assert found in (None, BODY)\n"
        "    if found is None: disk_cache.write(k, BODY)\n"
    )
    here = os.path.dirname(__file__)
    running = [subprocess.Popen([sys.executable, "-c", program, here], stderr=subprocess.PIPE,
                                text=True) for _ in range(3)]
    assert [p.communicate(timeout=60)[1] for p in running] == [""] * 3
    assert 0 < kept() <= 200_000
    assert not list(folder.glob("*.tmp"))


def test_abandoned_temporary_files_go_and_other_files_stay(folder):
    disk_cache.write(key(0), BODY)
    for name, days in (("tmpold.tmp", 2), ("tmpnew.tmp", 0), ("mine.txt", 100)):
        (folder / name).write_bytes(bytes(200_000))
        when = time.time() - days * disk_cache.DAY
        os.utime(folder / name, (when, when))
    disk_cache.trim()
    assert {p.name for p in folder.iterdir()} == {f"{key(0)}.o", "tmpnew.tmp", "mine.txt"}


def test_damage_is_no_use(folder):
    disk_cache.write(key(0), BODY)
    disk_cache.path_of(key(0)).write_bytes(b"nonsense")
    used(0, 5)
    before = disk_cache.path_of(key(0)).stat().st_mtime
    assert disk_cache.read(key(0)) is None
    assert disk_cache.path_of(key(0)).stat().st_mtime == before


def refuse(number):
    def function(*_, **__):
        raise OSError(number, os.strerror(number))
    return function


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.EPERM])
def test_a_folder_that_cannot_be_written(folder, monkeypatch, number):
    for n in range(20):
        disk_cache.write(key(n), BODY)
    disk_cache.write(key(0), BODY)
    used(0, 5)
    for name in ("utime", "unlink", "replace"):
        monkeypatch.setattr(os, name, refuse(number))
    monkeypatch.setattr(disk_cache.tempfile, "mkstemp", refuse(number))
    assert disk_cache.read(key(0)) == BODY
    disk_cache.write(key(100), BODY)
    monkeypatch.setenv("RUSHLIGHT_CACHE_SIZE", "0")
    assert disk_cache.trim() == 0 and disk_cache.read(key(0)) == BODY
    monkeypatch.setattr(os, "scandir", refuse(number))
    assert disk_cache.trim() == 0


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission(folder):
    disk_cache.write(key(0), BODY)
    used(0, 5)
    folder.chmod(0o500)
    try:
        disk_cache.write(key(1), BODY)
        assert disk_cache.read(key(0)) == BODY and disk_cache.read(key(1)) is None
    finally:
        folder.chmod(0o700)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_a_full_disk(folder, monkeypatch):
    """Nothing is kept, nothing is left behind, and nothing is raised."""
    folder.mkdir()

    def full(dir, suffix):
        name = os.path.join(dir, "tmp" + suffix)
        os.close(os.open(name, os.O_CREAT))
        return os.open("/dev/full", os.O_WRONLY), name

    monkeypatch.setattr(disk_cache.tempfile, "mkstemp", full)
    disk_cache.write(key(0), BODY)
    assert disk_cache.read(key(0)) is None and list(folder.iterdir()) == []


def test_the_variable(folder, monkeypatch):
    assert kernel_cache.show().bound == 100_000
    monkeypatch.delenv("RUSHLIGHT_CACHE_SIZE")
    assert str(kernel_cache.show()) == f"{folder}: 0 kernels, 0.0 MB of at most 256 MB"
    for wrong in ("big", "-1", "nan", "inf"):
        monkeypatch.setenv("RUSHLIGHT_CACHE_SIZE", wrong)
        with pytest.warns(UserWarning, match="RUSHLIGHT_CACHE_SIZE is '.*', not a number of megabytes"):
            assert disk_cache.bound() == 256_000_000
