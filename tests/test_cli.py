"""The command line: the demo resumes to the same numbers; doctor reports."""

from __future__ import annotations

import gzip
import os
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
from test_datasets import idx

import rushlight


@pytest.fixture
def small_mnist(tmp_path):
    place = tmp_path / "data" / "mnist"
    place.mkdir(parents=True)
    r = np.random.default_rng(0)
    for part, n in (("train", 640), ("t10k", 200)):
        labels = r.integers(0, 10, n)
        pictures = np.zeros((n, 28, 28))
        for k, label in enumerate(labels):
            pictures[k, 2 * label : 2 * label + 6] = 200
        pictures += r.integers(0, 50, pictures.shape)
        (place / f"{part}-images-idx3-ubyte.gz").write_bytes(
            gzip.compress(idx((n, 28, 28), pictures)))
        (place / f"{part}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx((n,), labels)))
    return {**os.environ, "RUSHLIGHT_DATA": str(tmp_path / "data")}


def demo(env, out, *options):
    done = subprocess.run([sys.executable, "-m", "rushlight", "demo", "--out", str(out), *options],
                          capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_demo_resumes_to_the_same_numbers(small_mnist, tmp_path):
    whole = demo(small_mnist, tmp_path / "whole", "--epochs", "4")
    first = demo(small_mnist, tmp_path / "parts", "--epochs", "2")
    rest = demo(small_mnist, tmp_path / "parts", "--epochs", "4")
    assert "going on after epoch 2" in rest and "accuracy" in first
    lines = [x for x in whole.splitlines() if x.startswith(("epoch", "accuracy"))]
    assert [x for x in rest.splitlines() if x.startswith(("epoch", "accuracy"))] == lines[2:]
    a = rushlight.load(tmp_path / "whole" / "checkpoint.pt")
    b = rushlight.load(tmp_path / "parts" / "checkpoint.pt")
    for k, v in a["net"].items():
        assert rushlight.equal(v, b["net"][k])
    assert (tmp_path / "whole" / "loss.png").exists()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_demo_is_interrupted(small_mnist, tmp_path, how):
    """Stopped in any way after the second epoch, the same command ends with the same checkpoint."""
    whole = demo(small_mnist, tmp_path / "whole", "--epochs", "5")
    command = [sys.executable, "-m", "rushlight", "demo", "--out", str(tmp_path / "parts"),
               "--epochs", "5"]
    started = subprocess.Popen(command, stdout=subprocess.PIPE, env=small_mnist, text=True)
    for line in started.stdout:
        if line.startswith("epoch  2"):
            started.send_signal(how)
            break
    started.communicate()
    rest = demo(small_mnist, tmp_path / "parts", "--epochs", "5")
    found = [[x for x in text.splitlines() if x.startswith("accuracy")] for text in (rest, whole)]
    assert found[0] == found[1] and found[0]
    a, b = (rushlight.load(tmp_path / f / "checkpoint.pt") for f in ("whole", "parts"))
    assert a["curve"] == b["curve"]
    assert all(rushlight.equal(v, b["net"][k]) for k, v in a["net"].items())


def test_demo_with_a_checkpoint_that_is_no_good(small_mnist, tmp_path):
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(b"PK no checkpoint")
    done = subprocess.run([sys.executable, "-m", "rushlight", "demo", "--out", str(tmp_path)],
                          capture_output=True, text=True, env=small_mnist)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "checkpoint.pt" in done.stderr and "--fresh" in done.stderr
    assert path.read_bytes() == b"PK no checkpoint"
    demo(small_mnist, tmp_path, "--epochs", "1", "--fresh")
    shown = demo(small_mnist, tmp_path, "--epochs", "1", "--seed", "7")
    assert "another setting" in shown and (tmp_path / "checkpoint.pt.old").exists()


def test_demo_without_a_place_to_write(small_mnist, tmp_path):
    (tmp_path / "file").write_text("")
    done = subprocess.run([sys.executable, "-m", "rushlight", "demo", "--out", str(tmp_path / "file")],
                          capture_output=True, text=True, env=small_mnist)
    assert done.returncode == 1 and done.stderr.startswith("Error: ")


def test_doctor():
    done = subprocess.run([sys.executable, "-m", "rushlight", "doctor"], capture_output=True,
                          text=True)
    assert done.returncode == 0, done.stderr
    assert "numpy" in done.stdout and "mnist" in done.stdout and "CUDA" in done.stdout
    assert "kernels    work: " in done.stdout


def test_version_modules_and_what_is_not_there(tmp_path):
    def ask(*arguments):
        return subprocess.run([sys.executable, "-m", "rushlight", *arguments], capture_output=True, text=True, cwd=tmp_path)

    assert ask("--version").stdout == f"Rushlight {rushlight.__version__}\n"
    (tmp_path / "mine.py").write_text("import sys, torch\nprint(torch.__file__, __name__, sys.argv[1:])\n")
    ran = ask("run", "-m", "mine", "--lr", "0.1").stdout
    assert os.path.join("rushlight", "__init__.py") in ran and ran.endswith("__main__ ['--lr', '0.1']\n")
    assert ask("run", "mine.py", "-m").stdout.endswith("__main__ ['-m']\n")
    for wrong, told in ((("run", "no.py"), "there is no file 'no.py'"), (("run", "-m", "no.thing"), "there is no module 'no.thing'")):
        assert told in ask(*wrong).stderr


def test_digits_when_there_is_no_mnist_and_no_network(tmp_path):
    """The package alone in a folder, with nothing beside it and every download refused."""
    package = os.path.dirname(rushlight.__file__)
    shutil.copytree(package, tmp_path / "site" / "rushlight",
                    ignore=shutil.ignore_patterns("__pycache__"))
    nobody = "http://127.0.0.1:9"
    env = {k: v for k, v in os.environ.items() if k != "RUSHLIGHT_DATA"}
    env.update(PYTHONPATH=str(tmp_path / "site"), XDG_CACHE_HOME=str(tmp_path / "cache"),
               HOME=str(tmp_path), http_proxy=nobody, https_proxy=nobody)
    done = subprocess.run(
        [sys.executable, "-m", "rushlight", "demo", "--quick", "--out", str(tmp_path / "out")],
        capture_output=True, text=True, env=env, cwd=tmp_path, timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert "using scikit-learn's digits" in done.stderr and "digits test images" in done.stdout
    assert not list((tmp_path / "cache").rglob("*idx*"))


def test_examples_are_listed_and_run_by_name():
    def ask(*arguments):
        return subprocess.run([sys.executable, "-m", "rushlight", "examples", *arguments], capture_output=True, text=True)

    listed = ask().stdout
    assert "detection" in listed and "Finding things" in listed and "common" not in listed
    told = ask("detection", "--help")
    assert told.returncode == 0 and "--quick" in told.stdout
    wrong = ask("nothing")
    assert wrong.returncode == 1 and "there is no example 'nothing'; there are" in wrong.stderr


def test_an_example_says_which_package_it_needs(monkeypatch):
    import importlib.util

    from click.testing import CliRunner

    from rushlight import cli

    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "gymnasium" else found(name, *rest))
    made = CliRunner().invoke(cli.main, ["examples", "dqn"])
    assert made.exit_code == 1 and "dqn needs gymnasium: pip install 'rushlight[examples]'" in made.output
