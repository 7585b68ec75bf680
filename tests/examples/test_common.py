"""What the examples share: each network has a folder of its own; data that cannot be had end a program in words."""

import sys

import pytest


@pytest.fixture
def arguments(load, monkeypatch):
    """The command line of a program `x` with some options, as it is called with these words."""
    common = load("common")

    def made(*words):
        monkeypatch.setattr(sys, "argv", ["x", *words])
        p = common.parser("", "x")
        p.add_argument("--model", choices=["a", "b"], default="a")
        p.add_argument("--width", type=int, default=8)
        p.add_argument("--epochs", type=int, default=3)
        return common.arguments(p, width=4, epochs=1)

    return made


def test_each_network_has_a_folder(arguments):
    folders = {w: arguments(*w.split()).out for w in ("", "--epochs 9", "--model b", "--width 16 --model b", "--quick", "--quick --model b",
                                                      "--quick --width 8", "--model b --out here")}
    assert folders == {
        "": "runs/x", "--epochs 9": "runs/x", "--model b": "runs/x-b", "--width 16 --model b": "runs/x-b-width-16", "--quick": "runs/x-quick",
        "--quick --model b": "runs/x-b-quick", "--quick --width 8": "runs/x-width-8-quick", "--model b --out here": "here"}


def test_quick_sets_defaults(arguments):
    assert (arguments("--quick").epochs, arguments("--quick", "--epochs", "2").epochs, arguments().epochs) == (1, 2, 3)


def test_without_data_a_program_ends_in_words(load, monkeypatch, tmp_path):
    common = load("common")
    monkeypatch.setattr(common.files, "folders", lambda root=None: [tmp_path])
    monkeypatch.setattr(common.files, "cache_folder", lambda: tmp_path)
    monkeypatch.setattr(common.files, "TEXT_SOURCES", {"text/plays.txt": ((tmp_path / "nowhere" / "plays.txt").as_uri(), "")})
    with pytest.raises(SystemExit, match="(?s)plays.txt was not found in .*fetching it failed.*nowhere"):
        common.data_path("text/plays.txt")


@pytest.mark.parametrize("name, few", [("char_lm", "--steps 7 --write 5"), ("dqn", "--steps 60"), ("policy_gradient", "--updates 2"), ("ppo", "--updates 1")])
def test_a_run_of_few_steps_has_a_result(example, name, few):
    made = example(name, "--quick", *few.split())
    assert made["history"] and made["result"]["framework"] == "Rushlight"
