"""The command line: `rushlight demo`, `doctor`, `run script.py`, `examples`, `board`, `cache`."""

from __future__ import annotations

import importlib.util
import os
import sys

import click

from .version import __version__


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, "-V", "--version", message="Rushlight %(version)s")
def main() -> None:
    """Rushlight: a deep-learning framework with PyTorch's programming model."""


@main.command()
@click.option("--epochs", default=10, show_default=True, type=click.IntRange(min=1), help="Passes over the training images.")
@click.option("--out", default="runs/mnist", show_default=True, help="Folder for the results.")
@click.option("--seed", default=0, show_default=True, help="Seed of weights and shuffling.")
@click.option("--quick", is_flag=True, help="One pass over 6,000 images: a few seconds.")
@click.option("--fresh", is_flag=True, help="Start anew even if there is a checkpoint.")
def demo(epochs: int, out: str, seed: int, quick: bool, fresh: bool) -> None:
    """Train a network on MNIST; saves a checkpoint, a loss curve and its mistakes.

    Interrupted, the same command goes on from the checkpoint to the same final numbers.
    """
    from .datasets.files import DataFileError
    from .tools.demo import train

    try:
        sys.exit(train(epochs=1 if quick else epochs, out=out, seed=seed, quick=quick, fresh=fresh))
    except (DataFileError, OSError) as e:
        raise click.ClickException(str(e)) from None


@main.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.option("-m", "module", is_flag=True, help="SCRIPT is the name of a module, as in `python -m`.")
@click.argument("script")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def run(module: bool, script: str, arguments: tuple[str, ...]) -> None:
    """Run a program that says `import torch` with Rushlight instead.

    ARGUMENTS are the program's own. `rushlight run -m pytest tests` runs a module.
    """
    if not module and not os.path.isfile(script):
        raise click.BadParameter(f"there is no file '{script}'", param_hint="'SCRIPT'")
    if module:
        import importlib.util

        sys.path.insert(0, os.getcwd())
        if importlib.util.find_spec(script.partition(".")[0]) is None:
            raise click.BadParameter(f"there is no module '{script}'", param_hint="'SCRIPT'")
    _run(script, arguments, module)


def _run(script: str, arguments: tuple[str, ...], module: bool = False) -> None:
    import runpy

    from .alias import install

    install()
    sys.argv = [script, *arguments]
    if not module:
        sys.path.insert(0, os.path.dirname(os.path.abspath(script)))
    try:
        if module:
            runpy.run_module(script, run_name="__main__", alter_sys=True)
        else:
            runpy.run_path(script, run_name="__main__")
    except (Exception, KeyboardInterrupt) as e:  # shown as Python shows it: from the script on
        tb = e.__traceback__
        while tb is not None and tb.tb_frame.f_code.co_filename != script:
            tb = tb.tb_next
        sys.excepthook(type(e), e, tb or e.__traceback__)
        sys.exit(130 if isinstance(e, KeyboardInterrupt) else 1)


@main.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.argument("name", required=False)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def examples(name: str | None, arguments: tuple[str, ...]) -> None:
    """List the example programs, or run the one of this NAME.

    `rushlight examples mnist_cnn --help` tells an example's options; each has --quick.
    """
    found = _examples()
    if name is None:
        width = max(map(len, found))
        for known, script in found.items():
            click.echo(f"{known:{width}}  {_first_line(script)}")
        return
    if name.removesuffix(".py") not in found:
        raise click.ClickException(f"there is no example '{name}'; there are {', '.join(found)}")
    script = found[name.removesuffix(".py")]
    missing = [m for m in _imported(script) if importlib.util.find_spec(m) is None]
    if missing:
        raise click.ClickException(f"{name} needs {' and '.join(missing)}: pip install 'rushlight[examples]'")
    _run(script, arguments)


def _imported(script: str) -> list[str]:
    """The packages that a program imports at its head, without those of its folder and torch."""
    import ast
    from pathlib import Path

    names: list[str] = []
    for line in ast.parse(Path(script).read_text()).body:
        if isinstance(line, ast.Import):
            names += [x.name for x in line.names]
        elif isinstance(line, ast.ImportFrom) and not line.level:
            names.append(line.module or "")
    packages = dict.fromkeys(n.partition(".")[0] for n in names)
    return [p for p in packages if p != "torch" and not Path(script).with_name(f"{p}.py").exists()]


def _examples() -> dict[str, str]:
    """The programs of the project's folder `examples`, by name."""
    from pathlib import Path

    for folder in (Path(__file__).resolve().parents[1] / "examples", Path.cwd() / "examples"):
        if (folder / "common.py").is_file():
            return {p.stem: str(p) for p in sorted(folder.glob("*.py")) if p.stem != "common"}
    raise click.ClickException("the examples are programs of the project's folder: clone it, and run this command there")


def _first_line(script: str) -> str:
    """What a program says about itself."""
    import ast
    from pathlib import Path

    doc = ast.get_docstring(ast.parse(Path(script).read_text())) or ""
    return doc.partition("\n")[0]


@main.command()
@click.argument("folder", default="runs", type=click.Path())
@click.option("--port", default=6007, show_default=True, type=click.IntRange(0, 65535), help="0: any that is free.")
@click.option("--host", default="127.0.0.1", show_default=True, help="0.0.0.0 lets other machines see the page.")
@click.option("--open", "open_page", is_flag=True, help="Open the page in the browser.")
def board(folder: str, port: int, host: str, open_page: bool) -> None:
    """Show the training runs in FOLDER (runs) as a page that follows them.

    A run is a folder that rushlight.tools.board.Recorder, SummaryWriter or an example wrote.
    """
    from .tools.board import server

    def ready(address: str) -> None:
        click.echo(f"{folder} is shown at {address} (Ctrl+C ends it)")
        if open_page:
            click.launch(address)

    try:
        server.serve(folder, host, port, ready)
    except KeyboardInterrupt:
        pass
    except (ImportError, OSError) as e:
        said = f"{host}:{port}: {e.strerror} (--port names another port)" if getattr(e, "strerror", None) else str(e)
        raise click.ClickException(said) from None


@main.group()
def cache() -> None:
    """Compiled kernels that are kept on disk."""


@cache.command("show")
def cache_show() -> None:
    """Tell where they are, how many, how large, and how large they may become.

    RUSHLIGHT_CACHE names their folder, RUSHLIGHT_CACHE_SIZE the bound in MB.
    """
    from .tools import kernel_cache

    click.echo(str(kernel_cache.show()))


@cache.command("clear")
def cache_clear() -> None:
    """Delete them; programs compile what they need again."""
    from .tools import kernel_cache

    click.echo(f"{kernel_cache.clear()} kernels deleted")


@cache.command("export")
@click.argument("archive", type=click.Path(dir_okay=False))
def cache_export(archive: str) -> None:
    """Write them into a .tar.gz file, for a machine of the same kind."""
    from .tools import kernel_cache

    click.echo(f"{kernel_cache.export(archive)} kernels written to {archive}")


@cache.command("import")
@click.argument("archive", type=click.Path(exists=True, dir_okay=False))
def cache_import(archive: str) -> None:
    """Take in the kernels of an exported file."""
    from .tools import kernel_cache

    try:
        click.echo(f"{kernel_cache.load(archive)} kernels taken from {archive}")
    except ValueError as e:
        raise click.ClickException(str(e)) from None


@main.command()
def doctor() -> None:
    """Tell what was found on this machine, and what is missing for what."""
    from .tools.doctor import report

    for line in report():
        click.echo(line)
