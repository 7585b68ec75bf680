"""Checkpoints from strangers: nothing in a file runs, and nothing takes the machine down.

And checkpoints of our own, with the process killed at any moment of writing them.
"""

from __future__ import annotations

import io
import os
import pickle
import pickletools
import random
import resource
import signal
import struct
import time
import zipfile

import pytest
import torch

import rushlight

G = pickle.GLOBAL


def call(name: str, argument: bytes) -> bytes:
    """A pickle that calls `module name` on an argument."""
    return b"\x80\x02" + G + name.replace(" ", "\n").encode() + b"\n" + argument + b"R."


def text(s: str) -> bytes:
    return b"X" + struct.pack("<I", len(s)) + s.encode()


ONE = text("echo hacked > {}") + b"\x85"
CALLS = {
    "os.system": call("os system", ONE),
    "posix.system": call("posix system", ONE),
    "eval": call("builtins eval", text("1+1") + b"\x85"),
    "exec": call("builtins exec", text("pass") + b"\x85"),
    "old eval": call("__builtin__ eval", text("1+1") + b"\x85"),
    "getattr": call("builtins getattr", text("a") + text("b") + b"\x86"),
    "import": call("builtins __import__", text("os") + b"\x85"),
    "importlib": call("importlib import_module", text("os") + b"\x85"),
    "open": call("builtins open", text("/etc/passwd") + b"\x85"),
    "subprocess": call("subprocess Popen", text("ls") + b"\x85"),
    "pickle in a pickle": call("pickle loads", b"C\x02N.\x85"),
    "_pickle": call("_pickle loads", b"C\x02N.\x85"),
    "torch.load": call("torch load", text("x") + b"\x85"),
    "torch.hub": call("torch.hub load", text("x") + b"\x85"),
    "dotted name": call("torch nn.modules.module.os.system", ONE),
    "dunder": call("torch _C.__class__", b")"),
    "numpy": call("numpy.core.multiarray _reconstruct", b")"),
    "numpy runstring": call("numpy.testing._private.utils runstring", ONE),
    "functools": call("functools partial", b")"),
    "operator": call("operator attrgetter", text("x") + b"\x85"),
    "types": call("types CodeType", b")"),
    "codec": call("_codecs encode", text("a") + text("hex") + b"\x86"),
    "runpy": call("runpy run_path", text("x") + b"\x85"),
    "rushlight": call("rushlight.serialization load", text("x") + b"\x85"),
    "stack global": b"\x80\x04" + b"\x8c\x02os\x8c\x06system\x93" + ONE + b"R.",
    "instance": b"(" + text("ls") + b"ios\nsystem\n.",
    "obj": b"(cos\nsystem\n" + text("ls") + b"o.",
    "nested reduce": call("collections OrderedDict", b"(" + call("os system", ONE)[2:-1] + b"t"),
    "class state": G + b"torch.nn.parameter\nParameter\n(N}" + text("grad") + b"K\x05stb.",
    "function state": G + b"torch._utils\n_rebuild_tensor_v2\n}" + text("x") + b"K\x05sb.",
    "huge bytearray": call("builtins bytearray", b"\x8a\x06" + (10**13).to_bytes(6, "little") + b"\x85"),
    "huge memo": b"\x80\x02Nr" + struct.pack("<I", 2**31 - 1) + b".",
    "huge string": b"\x80\x04\x8d" + struct.pack("<Q", 2**60) + b"a.",
    "huge bytes": b"\x80\x04\x8e" + struct.pack("<Q", 2**60) + b"a.",
    "huge frame": b"\x80\x04\x95" + struct.pack("<Q", 2**60) + b"N.",
    "huge integer": b"\x80\x02\x8b" + struct.pack("<i", 2**31 - 1) + b"\x00.",
    "long digits": b"I" + b"9" * 100_000 + b"\n.",
    "negative length": b"\x80\x02\x8b" + struct.pack("<i", -5) + b".",
    "empty stack": b"\x80\x02.", "no stop": b"\x80\x02N", "unknown opcode": b"\x80\x02\xff.",
    "unknown protocol": b"\x80\x99N.", "persistent": b"\x80\x02Pstorage\n.",
    "wrong storage": b"\x80\x02(" + text("storage") + b"NNNNtQ.",
    "extension": b"\x80\x02\x82\x01.", "buffer": b"\x80\x05\x97.",
    "deep": b"\x80\x02" + b"(" * 200_000 + b".", "list of itself": b"\x80\x02]q\x00h\x00a" + b"b.",
}
REFUSED = (pickle.UnpicklingError, RuntimeError, EOFError)


def archive(content: bytes, path=None, **more):
    """A zip checkpoint with this pickle."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as z:
        z.writestr("a/data.pkl", content)
        z.writestr("a/version", "3\n")
        for name, data in more.items():
            z.writestr(name, data)
    return file.getvalue()


@pytest.fixture
def limited():
    """At most 3 GB more memory than now: whatever takes all of it fails here, not on the machine."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    with open("/proc/self/statm") as f:
        now = int(f.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + (3 << 30), hard))
    yield
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("form", ["zip", "legacy", "legacy body"])
def test_hostile_pickles(name, form, tmp_path, monkeypatch, limited):
    monkeypatch.setattr(os, "system", lambda *_: pytest.fail("it ran"))
    marker = tmp_path / "hacked"
    content = CALLS[name].replace(b"{}", str(marker).encode()[:2])
    raw = archive(content) if form == "zip" else content
    if form == "legacy body":
        raw = b"".join(pickle.dumps(x, 2) for x in (
            0x1950A86A20F9469CFC6C, 1001, {"protocol_version": 1001, "little_endian": True})) + content
    if name in ("huge memo", "huge frame", "long digits"):  # harmless where no memory is given
        try:
            rushlight.load(io.BytesIO(raw))
        except REFUSED:
            pass
    else:
        with pytest.raises(REFUSED) as caught:
            rushlight.load(io.BytesIO(raw))
        assert str(caught.value)
    assert not hasattr(rushlight.nn.Parameter.grad, "real")
    assert os.listdir(tmp_path) == []


def test_memory_error_is_not_a_crash(limited):
    """A tensor larger than memory: an error, whatever the file claims."""
    huge = b"\x8a\x06" + (10**13).to_bytes(6, "little")
    storage = (b"(" + text("storage") + G + b"torch\nFloatStorage\n" + text("0") + text("cpu") + huge
               + b"tQ")
    made = (b"\x80\x02" + G + b"torch._utils\n_rebuild_tensor_v2\n(" + storage + b"K\x00" + huge
            + b"\x85K\x01\x85\x89" + G + b"collections\nOrderedDict\n)RtR.")
    with pytest.raises(REFUSED):
        rushlight.load(io.BytesIO(archive(made, **{"a/data/0": b"1234"})))
    with pytest.raises(REFUSED):
        rushlight.load(io.BytesIO(made))


def test_zip_bombs(limited):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as z:
        z.writestr("a/data.pkl", b"\x80\x02N.")
        with z.open("a/byteorder", "w", force_zip64=True) as member:
            for _ in range(64):
                member.write(bytes(1 << 20))
    with pytest.raises(RuntimeError, match="zip bomb"):
        rushlight.load(io.BytesIO(file.getvalue()))


@pytest.mark.parametrize("name", ["../../../outside", "/tmp/outside", "a/../../data/0", "a\\..\\b"])
def test_paths_in_archives_are_only_names(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = archive(b"\x80\x02K\x05.", **{name: b"content"})
    assert rushlight.load(io.BytesIO(made)) == 5
    assert os.listdir(tmp_path) == []


def test_allowed_classes():
    class Kind:
        pass

    Kind.__qualname__ = "Kind"
    globals()["Kind"] = Kind
    file = io.BytesIO()
    made = Kind()
    made.x = 3
    torch.save({"k": made}, file)
    file.seek(0)
    with pytest.raises(pickle.UnpicklingError, match="add_safe_globals"):
        rushlight.load(file)
    file.seek(0)
    with rushlight.serialization.safe_globals([Kind]):
        assert rushlight.load(file)["k"].x == 3
    file.seek(0)
    assert rushlight.load(file, weights_only=False)["k"].x == 3
    file.seek(0)
    with pytest.raises(pickle.UnpicklingError):
        rushlight.load(file)


def test_random_damage_of_pickles():
    """Any change of the structure's bytes ends in a clear error, or in a value."""
    file = io.BytesIO()
    rushlight.save({"a": [1, 2.5, "x", (True, None)], "t": rushlight.ones(3)}, file)
    with zipfile.ZipFile(file) as z:
        parts = {n: z.read(n) for n in z.namelist()}
    good = parts.pop("archive/data.pkl")
    pickletools.dis(good, io.StringIO())
    rng = random.Random(0)
    for _ in range(600):
        bad = bytearray(good)
        for _ in range(rng.choice([1, 1, 2, 5])):
            bad[rng.randrange(len(bad))] = rng.randrange(256)
        raw = io.BytesIO()
        with zipfile.ZipFile(raw, "w") as z:
            z.writestr("archive/data.pkl", bytes(bad))
            for name, content in parts.items():
                z.writestr(name, content)
        try:
            rushlight.load(raw)
        except REFUSED:
            pass


def test_killed_two_hundred_times(tmp_path):
    """kill -9 at random moments of saving: the file always holds one complete checkpoint."""
    path = tmp_path / "checkpoint.pt"
    count = 60_000
    for _ in range(2):
        begin = time.perf_counter()
        rushlight.save({"i": 0, "x": rushlight.zeros(count)}, path)
        one = time.perf_counter() - begin  # on this machine, as busy as it is
    rng = random.Random(1)
    seen = set()
    for _ in range(200):
        child = os.fork()
        if child == 0:
            try:
                i = 0
                while True:
                    i += 1
                    rushlight.save({"i": i, "x": rushlight.full((count,), float(i))}, path)
            finally:
                os._exit(1)
        time.sleep(rng.uniform(0.0, 0.01 + min(2 * one, 0.1)))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        state = rushlight.load(path)
        assert (state["x"] == float(state["i"])).all().item()
        seen.add(state["i"])
    assert len(seen) > 1
    rushlight.save(state, path)  # also removes what the killed ones left
    assert os.listdir(tmp_path) == [path.name]


def test_a_full_disk_keeps_the_old_checkpoint(tmp_path, monkeypatch):
    path = tmp_path / "a.pt"
    rushlight.save({"x": rushlight.ones(3)}, path)

    def full(fd):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        rushlight.save({"x": rushlight.zeros(3)}, path)
    assert rushlight.load(path)["x"].tolist() == [1, 1, 1]
    assert os.listdir(tmp_path) == ["a.pt"]
