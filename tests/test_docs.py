"""The programs in the documents run as they stand there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
BLOCK = re.compile(r"```python\n(.*?)```", re.S)


@pytest.mark.parametrize("name", ["README.md", "docs/quickstart.md"])
def test_programs_run(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    space: dict = {}
    blocks = BLOCK.findall((ROOT / name).read_text())
    assert blocks
    for block in blocks:
        exec(compile(block, name, "exec"), space)
    shown = capsys.readouterr().out
    if name.endswith("quickstart.md"):
        assert "tensor(-4.)" in shown and (tmp_path / "graph.png").exists()


def test_files_that_the_documents_name_exist():
    for document in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "docs/quickstart.md"):
        for path in re.findall(r"`((?:\w+/)+\w+\.(?:py|md))`", (ROOT / document).read_text()):
            found = [ROOT / path, ROOT / "rushlight" / path, ROOT / "rushlight/trace" / path]
            assert any(p.exists() for p in found), f"{document} names {path}"
