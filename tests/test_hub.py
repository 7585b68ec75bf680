"""torch.hub: local folders, and weights from a URL."""

from __future__ import annotations

import hashlib

import pytest
import torch

import rushlight

HUBCONF = '''
dependencies = ["math"]
from parts import scale


def model(width, depth=1):
    """A pair."""
    return scale * width, depth


def _hidden():
    pass
'''


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "hubconf.py").write_text(HUBCONF)
    (tmp_path / "parts.py").write_text("scale = 10\n")
    return str(tmp_path)


def test_a_local_folder(folder):
    hub = rushlight.hub
    assert hub.load(folder, "model", 3, source="local", depth=2) == (30, 2)
    assert hub.list(folder) == ["model"] and hub.help(folder, "model") == "A pair."
    with pytest.raises(RuntimeError, match="Cannot find callable other in hubconf"):
        hub.load(folder, "other", source="local")
    with pytest.raises(RuntimeError, match="Clone 'a/b'"):
        hub.load("a/b", "model")
    with pytest.raises(ValueError, match="Unknown source"):
        hub.load(folder, "model", source="elsewhere")
    with pytest.raises(FileNotFoundError):
        hub.load(folder + "/nowhere", "model", source="local")


def test_missing_dependencies(folder):
    with open(folder + "/hubconf.py", "a") as f:
        f.write('dependencies = ["no_such_module_anywhere"]\n')
    with pytest.raises(RuntimeError, match="Missing dependencies: no_such_module_anywhere"):
        rushlight.hub.load(folder, "model", 1, source="local")


def test_weights_from_a_url(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    source = tmp_path / "weights.pth"
    torch.save({"w": torch.arange(3.0)}, source)
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    good, bad = tmp_path / f"net-{digest[:8]}.pth", tmp_path / "net-00000000.pth"
    for f in (good, bad):
        f.write_bytes(source.read_bytes())
    load = rushlight.hub.load_state_dict_from_url
    for _ in range(2):  # fetched, and found
        assert load(good.as_uri(), check_hash=True, progress=False)["w"].tolist() == [0, 1, 2]
        good.unlink(missing_ok=True)
    with pytest.raises(RuntimeError, match="invalid hash value"):
        load(bad.as_uri(), check_hash=True, progress=False)
    kept = tmp_path / "home" / "hub" / "checkpoints"
    assert [p.name for p in kept.iterdir()] == [good.name]  # nothing of what failed
