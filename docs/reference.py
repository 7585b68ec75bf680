"""The API reference: `make docs` writes it to `docs/_build` as HTML, from docstrings, by pdoc.

A page is a public module, filled from the names that the running package has there: functions that
are derived from operators and layers that are loaded when first used appear like all others. Names
stand in sections by the file that defines them. `_templates/` changes pdoc's templates a little.
"""

from __future__ import annotations

import importlib
import inspect
import json
import re
import sys
import types
from pathlib import Path
from typing import Any, NamedTuple

import rushlight
from rushlight.trace.operator import PUBLISHED

HERE = Path(__file__).parent
TENSOR = "rushlight.Tensor"
FORMS = "rushlight.trace.forms"  # where in-place forms are made

INDEX = {
    "Tensors": "Tensor linalg fft signal special sparse masked random",
    "Networks": "nn nn.functional nn.attention nn.attention.flex_attention "
                "nn.init nn.parameter nn.utils nn.utils.rnn nn.utils.parametrize "
                "nn.utils.parametrizations nn.utils.prune nn.utils.stateless nn.utils.fusion models",
    "Training": "optim optim.lr_scheduler optim.swa_utils amp utils.checkpoint",
    "Gradients": "autograd func autograd.functional autograd.function autograd.graph "
                 "autograd.forward_ad",
    "Probability": "distributions distributions.kl",
    "Data": "utils.data datasets datasets.transforms datasets.transforms.functional datasets.text",
    "Files": "serialization storage safetensors hub",
    "Looking inside": "tools tools.board tools.summary tools.progress tools.plots tools.explain profiler "
                      "autograd.profiler utils.tensorboard utils.benchmark fx fx.passes.shape_prop",
    "Settings": "cpu cpu.amp cuda cuda.amp accelerator backends overrides utils.hooks utils.dlpack "
                "testing alias functional torch_version jit library futures ao",
}  # fmt: skip
INDEX = {group: [f"rushlight.{name}" for name in names.split()] for group, names in INDEX.items()}
INDEX["Tensors"].insert(0, "rushlight")
PAGES = [page for pages in INDEX.values() for page in pages]


class Section(NamedTuple):
    """What one file defines: a title, an explanation, its entries {name: its other names}."""

    title: str
    text: str
    file: str
    entries: dict[str, list[str]]


def public(page: str) -> dict[str, Any]:
    """The names that a page explains and what they stand for: all public ones but modules."""
    dir(rushlight)  # loads all operators, so that Tensor has their methods
    space: Any = rushlight.Tensor if page == TENSOR else importlib.import_module(page)
    names = getattr(space, "__all__", None)
    if names is None:  # what is defined there, or published there by operators
        homes = (page, "rushlight.ops.")
        names = [n for n, v in vars(space).items() if home_of(v).startswith(homes)]
    if space in (rushlight, rushlight.Tensor):
        names = dir(space)
    found = {n: getattr(space, n) for n in names if not n.startswith("_")}
    return {
        n: v for n, v in found.items() if not inspect.ismodule(v) and home_of(v) != "__future__"
    }


def base_of(value: Any) -> Any:
    """The function whose in-place form this is; other values are returned as they are."""
    if getattr(value, "__module__", None) != FORMS:
        return value
    name = value.__name__.removesuffix("_")
    return next((space[name] for space in PUBLISHED.values() if name in space), value)


def home_of(value: Any) -> str:
    """The module that defines a value, if that can be told."""
    return getattr(base_of(value), "__module__", None) or ""


def sections(page: str) -> list[Section]:
    """A page's names by the files that define them, with their aliases and in-place forms."""
    values = public(page)
    groups: dict[int, list[str]] = {}
    for name, value in values.items():
        groups.setdefault(id(base_of(value)), []).append(name)
    within = "rushlight.ops." if page in ("rushlight", TENSOR) else "rushlight."
    by_home: dict[str, dict[str, list[str]]] = {page: {}}
    for names in groups.values():
        base = base_of(values[names[0]])
        own = getattr(base, "__name__", None) or getattr(base, "name", None)
        main = own if own in names else names[0]
        home = home_of(base)
        apart = home.startswith(within) and not home.startswith("rushlight.trace")
        by_home.setdefault(home if apart else page, {})[main] = [n for n in names if n != main]
    if 2 * len(by_home) > len(groups):
        by_home = {page: {k: v for entries in by_home.values() for k, v in entries.items()}}
    if page in ("rushlight", TENSOR):  # families in the order in which they were loaded
        order = {module: i for i, module in enumerate(sys.modules)} | {"rushlight": len(sys.modules)}
        by_home = dict(sorted(by_home.items(), key=lambda item: order.get(item[0], 0)))
    return [section(page, home, entries) for home, entries in by_home.items() if entries]


def section(page: str, home: str, entries: dict[str, list[str]]) -> Section:
    """The names of one file; those of the page's own file stand without a title."""
    if home == page:
        title = "Types, modes and settings" if page == "rushlight" else ""
        return Section(title, "", "rushlight/__init__.py", entries)
    title, _, text = (inspect.getdoc(sys.modules[home]) or "").partition("\n")
    if home.startswith("rushlight.ops"):
        text = ""  # how the operators are made
    file = Path(sys.modules[home].__file__ or "").relative_to(HERE.parent)
    return Section(title.rstrip("."), text.strip(), file.as_posix(), entries)


class Written(str):
    """An annotation as it is written in the source."""

    __repr__ = str.__str__


def signature(value: Any, method: bool) -> inspect.Signature:
    """The parameters that users give, with annotations as they are written."""
    try:
        found = inspect.signature(base_of(value))
    except (TypeError, ValueError):
        return inspect.Signature()
    parameters = [
        p.replace(annotation=written(p.annotation))
        for p in list(found.parameters.values())[method:] if not p.name.startswith("_")
    ]  # fmt: skip
    return inspect.Signature(parameters, return_annotation=written(found.return_annotation))


def written(annotation: Any) -> Any:
    """An annotation's text; nothing for those that say nothing."""
    text = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", "")
    return inspect.Signature.empty if text in ("", "_empty", "Any", "None") else Written(text)


def markdown(text: str, parameters: Any = ()) -> str:
    """A docstring as Markdown: examples fenced, names of parameters before a colon as code."""

    def plain(match: re.Match) -> str:
        code, names, special = match.groups()
        if code or special:
            return code or {"<": "&lt;", "*": r"\*"}[special]
        quote = "`" if all(n in parameters for n in names.split(", ")) else ""
        return ", ".join(f"{quote}{n}{quote}" for n in names.split(", ")) + ":"

    blocks = []
    for block in text.split("\n\n"):
        if block.startswith(">>>"):
            blocks.append(f"```pycon\n{block}\n```")
        elif block.startswith("    "):
            blocks.append(block)
        else:
            pattern = r"(`[^`]*`)|(?<![\w.])((?:\w+, )*\w+):(?=\s)|([*<])"
            blocks.append(re.sub(pattern, plain, block))
    return "\n\n".join(blocks)


def prepare(doc: Any, where: dict[int, tuple[str, str]], method: bool = False) -> None:
    """Give pdoc's description of a function or class our signature, Markdown and base class."""
    if doc.kind in ("class", "function"):
        doc.signature = signature(doc.obj if doc.kind == "class" else doc.wrapped, method)
        doc.docstring = markdown(doc.docstring, doc.signature.parameters)
    else:
        doc.docstring = markdown(doc.docstring)
    if doc.kind == "class":
        doc.base = next((where[id(c)] for c in doc.obj.__mro__[1:] if id(c) in where), None)
        apart = doc.obj is rushlight.Tensor  # it has a page of its own
        doc.own_members = [] if apart else [m for m in doc.own_members if is_explained(m)]
        for member in doc.own_members:
            plain = member.kind == "function" and not (
                member.is_staticmethod or member.is_classmethod
            )
            prepare(member, where, plain)
        doc.members = {member.name: member for member in doc.own_members}


def is_explained(member: Any) -> bool:
    """Whether a class's member is shown: it has a docstring, or is the computation of a layer."""
    named = not member.name.startswith("_") and member.kind != "class"
    return named and bool(member.docstring or member.name == "forward")


def write(folder: Path, pages: list[str] = PAGES) -> None:
    """Write the pages, their index, and the names for the search."""
    import pdoc.doc
    import pdoc.render

    contents = {page: sections(page) for page in pages}
    where: dict[int, tuple[str, str]] = {}
    made = {}
    for page in pages:
        values = public(page)
        names = [name for section in contents[page] for name in section.entries]
        thing = rushlight.Tensor if page == TENSOR else sys.modules[page]
        module = types.ModuleType(page, markdown(inspect.getdoc(thing) or ""))
        vars(module).update({name: values[name] for name in names}, __all__=names)
        made[page] = pdoc.doc.Module(module)
        for name in names:
            where.setdefault(id(values[name]), (page, name))
    for page, module in made.items():
        for doc in module.members.values():
            prepare(doc, where, page == TENSOR)
    pdoc.render.configure(template_directory=HERE / "_templates", show_source=False)
    pdoc.render.env.filters["markdown"] = markdown
    pdoc.render.env.globals.update(sections=contents, index=INDEX)
    for page, module in made.items():
        path = folder / (page.replace(".", "/") + ".html")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(pdoc.render.html_module(module, made))
    (folder / "index.html").write_text(pdoc.render.html_index(made))
    found = [
        [f"{page}.{name}", (inspect.getdoc(value) or "").partition("\n")[0],
         page.replace(".", "/") + f".html#{name}"]
        for page in pages for name, value in public(page).items()
    ]  # fmt: skip
    (folder / "search.js").write_text(f"const names = {json.dumps(found)};")


if __name__ == "__main__":
    write(HERE / "_build")
