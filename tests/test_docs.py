"""The programs in the documents run as they stand there; each public class has an example that runs."""

from __future__ import annotations

import doctest
import importlib.util
import inspect
import re
import tempfile
from pathlib import Path

import pytest

import rushlight as torch
from rushlight.trace import hot, overrides

ROOT = Path(__file__).resolve().parents[1]
BLOCK = re.compile(r"```python\n(.*?)```", re.S)
_spec = importlib.util.spec_from_file_location("reference", ROOT / "docs/reference.py")
reference = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(reference)
EXAMPLES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for path in (ROOT / "rushlight").rglob("*.py") if ">>> " in path.read_text()
)  # fmt: skip


class Finder(doctest.DocTestFinder):
    """Also finds functions that are derived from operators: made elsewhere, defined in the module."""

    def _from_module(self, module, object):
        if inspect.isfunction(object):
            return object.__module__ == module.__name__
        return super()._from_module(module, object)


@pytest.fixture
def apart(tmp_path, monkeypatch):
    """What an example may leave behind: files, random numbers that were drawn, subclasses' hooks."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    hooked = overrides.ACTIVE[0]
    with torch.random.fork_rng():
        yield
    if overrides.ACTIVE[0] != hooked:
        overrides.ACTIVE[0] = hooked
        hot.recompile()


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples(name, apart):
    module = importlib.import_module(name)
    space = {"torch": torch, "nn": torch.nn, "F": torch.nn.functional}
    tests = Finder().find(module, name, globs=vars(module) | space)
    for made in [*vars(module).get("TYPED_TENSORS", {}).values(), *vars(module).get("TYPED_STORAGES", {}).values()]:
        tests += Finder().find(made, made.__name__, module, globs=space)
    runner = doctest.DocTestRunner(verbose=False)
    failures: list[str] = []
    for test in tests:
        runner.run(test, out=failures.append)
    assert runner.tries and not runner.failures, "".join(failures)


@pytest.mark.parametrize("page", reference.PAGES)
def test_public_names_are_explained(page):
    for name, value in reference.public(page).items():
        if callable(value) or isinstance(value, property):
            assert (value.__doc__ or "").strip(), f"{page}.{name} has no docstring"
        if inspect.isclass(value):
            doc = vars(value).get("__doc__") or ""
            only_a_name = "Error when called" in doc  # of a device, or a compiler, that is not there
            assert ">>> " in doc or only_a_name, f"{page}.{name} has no example"


def test_every_module_has_a_page():
    modules = {f"rushlight.{name}" for name, (_, inner) in torch._LAZY.items()
               if inner is None and not name.startswith("_")}
    above = {page[:n] for page in reference.PAGES for n, c in enumerate(page + ".") if c == "."}
    bare = {  # names for annotations, and answers to those who ask
        f"rushlight.{name}"
        for name in "types return_types version distributed onnx xpu compiler multiprocessing export monitor mps nested package "
                    "quantization".split()
    }
    assert modules - above == bare, "a new module? Put it into INDEX of docs/reference.py"


def test_reference(tmp_path):
    pages = ["rushlight.special", "rushlight.optim"]
    reference.write(tmp_path, pages)
    special, optim = [
        (tmp_path / (page.replace(".", "/") + ".html")).read_text() for page in pages
    ]  # fmt: skip
    for page, text in zip(pages, (special, optim), strict=True):
        missing = [n for n in reference.public(page) if f'id="{n}"' not in text]
        assert not missing, f"{page} lacks {missing}"
    erf = re.search('<section id="erf">.*?</section>', special, re.S)[0]
    assert "erf_" in erf and "input" in erf  # its in-place form, its parameter
    sgd = re.search('<section id="SGD">.*?</section>', optim, re.S)[0]
    assert "momentum" in sgd and 'href="#Optimizer"' in sgd and "&gt;&gt;&gt; " in sgd
    assert 'href="rushlight/optim.html"' in (tmp_path / "index.html").read_text()
    assert '"rushlight.optim.SGD"' in (tmp_path / "search.js").read_text()


@pytest.mark.parametrize("name", ["README.md", "docs/quickstart.md", "docs/board.md", "docs/examples/README.md"])
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
    for document in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "docs/quickstart.md", "docs/board.md"):
        for path in re.findall(r"`((?:\w+/)+\w+\.(?:py|md))`", (ROOT / document).read_text()):
            found = [ROOT / path, ROOT / "rushlight" / path, ROOT / "rushlight/trace" / path]
            assert any(p.exists() for p in found), f"{document} names {path}"


def test_the_versions_of_other_packages_are_those_that_are_installed():
    """By `make compat`: those of the compat extra."""
    page = (ROOT / "docs/compatibility.md").read_text()
    shown = re.findall(r"^\| ([\w-]+) \| (\d[\w.]*) \|", page, re.M)
    extra = re.search(r"^compat = \[(.*?)^\]", (ROOT / "pyproject.toml").read_text(), re.M | re.S)[1]
    assert shown and sorted(shown) == sorted(re.findall(r'"([\w-]+)==([\w.]+)"', extra))
