"""`rushlight board`: reading run folders, what the server answers, and the page in a headless Chromium."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request

import numpy as np
import pytest
from click.testing import CliRunner
from tensorboard.compat.proto.event_pb2 import Event as TheirEvent
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.types_pb2 import DataType
from tensorboard.plugins.text import metadata as text_metadata
from tensorboard.summary.writer.event_file_writer import EventFileWriter
from tensorboard.util import tensor_util
from tools import chromium

from rushlight.cli import main
from rushlight.tools.board import runs as reading
from rushlight.tools.board.runs import Runs, Series
from rushlight.utils.tensorboard import SummaryWriter, messages, records

PNG = bytes.fromhex("89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c4944415408d763f8cf"
                    "c0000003010100c9fe92ef0000000049454e44ae426082")
HOSTILE = "<img src=x onerror=hacked=1>"


@pytest.fixture(autouse=True)
def look_at_once(monkeypatch):
    monkeypatch.setattr(reading, "PAUSE", 0.0)


def write(folder, values, tag="loss", **more):
    with SummaryWriter(folder) as w:
        for i, x in enumerate(values):
            w.add_scalar(tag, x, i, **more)
    return w.file_writer.path


def found(root):
    runs = Runs(root)
    runs.refresh()
    return runs.runs


def values(run, tag="loss"):
    return list(run.series()[tag].values) if tag in run.series() else []


def strings(*texts: bytes) -> TensorProto:
    return TensorProto(dtype=DataType.DT_STRING, string_val=texts)


# ---------------------------------------------------------------- reading


def test_files_of_tensorboards_own_writer(tmp_path):
    writer = EventFileWriter(str(tmp_path))
    text = Summary.Value(tag="note/text_summary", metadata=text_metadata.create_summary_metadata("note", ""),
                         tensor=strings("bon jour é".encode()))
    new = Summary.Value(tag="new", tensor=tensor_util.make_tensor_proto(np.float32(2.5)))
    new.metadata.plugin_data.plugin_name = "scalars"
    pictures = Summary.Value(tag="pictures", tensor=strings(b"1", b"1", PNG))
    pictures.metadata.plugin_data.plugin_name = "images"
    weights = Summary.Value(tag="weights", tensor=tensor_util.make_tensor_proto(np.array([[0, 1, 5], [1, 3, 2]], np.float64)))
    weights.metadata.plugin_data.plugin_name = "histograms"
    for value in (Summary.Value(tag="loss", simple_value=0.5), new, text, pictures, weights, Summary.Value(
            tag="picture", image=Summary.Image(height=1, width=1, colorspace=3, encoded_image_string=PNG))):
        writer.add_event(TheirEvent(wall_time=12.5, step=7, summary=Summary(value=[value])))
    writer.close()
    run = found(tmp_path)["."]
    assert {t: (list(s.steps), list(s.values), list(s.walls)) for t, s in run.series().items()} == {
        "loss": ([7], [0.5], [12.5]), "new": ([7], [2.5], [12.5])}
    assert run.shown_media()["texts"] == {"note": [[7, "bon jour é"]]}
    assert run.picture("picture", 0, None) == run.picture("pictures", 0, None) == (PNG, "image/png") and not run.problems
    assert run.shown_media()["histograms"] == {"weights": [[7, [0, 1, 3], [0, 5, 2]]]}


def test_a_growing_file_is_read_on(tmp_path):
    runs = Runs(tmp_path)
    with SummaryWriter(tmp_path, max_queue=0) as w:
        w.add_scalar("loss", 1, 0)
        runs.refresh()
        run = runs.runs["."]
        assert values(run) == [1]
        before = run.version
        runs.refresh()
        assert run.version == before  # nothing new
        w.add_scalar("loss", 2, 1)
        with open(w.file_writer.path, "ab") as f:  # half of a record
            whole = records.record(messages.event(1.0, 2, summary=messages.scalar("loss", 3.0)))
            f.write(whole[:20])
            f.flush()
            runs.refresh()
            assert values(run) == [1, 2] and run.version > before and not run.problems
            f.write(whole[20:])
        runs.refresh()
    assert values(run) == [1, 2, 3]


def test_long_records_and_small_reads(tmp_path, monkeypatch):
    with SummaryWriter(tmp_path) as w:
        for i in range(20):
            w.add_text("note", "x" * (i * 37), i)
            w.add_scalar("loss", i, i)
    monkeypatch.setattr(reading, "PART", 64)
    run = found(tmp_path)["."]
    assert values(run) == list(range(20)) and run.shown_media()["texts"]["note"][-1] == [19, "x" * 703]


def test_the_time_for_reading_is_bounded(tmp_path, monkeypatch):
    write(tmp_path / "a", range(50))
    monkeypatch.setattr(reading, "PART", 64)
    runs = Runs(tmp_path)
    runs.refresh(0.0)
    assert runs.reading and len(values(runs.runs["a"])) < 50
    for _ in range(100):
        runs.refresh(0.0)
    assert not runs.reading and len(values(runs.runs["a"])) == 50


@pytest.mark.parametrize("cut", [1, 5, 20, 41])
def test_truncated_files_keep_what_comes_before(tmp_path, cut):
    path = write(tmp_path, range(5))
    os.truncate(path, os.path.getsize(path) - cut)
    run = found(tmp_path)["."]
    assert values(run) == ([0, 1, 2, 3] if cut < 41 else [0, 1, 2, 3][: len(values(run))]) and len(values(run)) >= 3
    assert not run.problems  # as of a run that still writes


def test_damaged_files_keep_what_comes_before_and_say_so(tmp_path):
    path = write(tmp_path, range(5))
    content = bytearray(open(path, "rb").read())
    content[len(content) * 3 // 4] ^= 4
    with open(path, "wb") as f:
        f.write(content)
    run = found(tmp_path)["."]
    assert values(run) == list(range(len(values(run)))) and 2 <= len(values(run)) < 5
    (problem,) = run.about()["problems"]
    assert os.path.basename(path) in problem and "is damaged at byte" in problem and f"of {len(content)}" in problem


def test_malformed_events_are_left_out(tmp_path):
    path = write(tmp_path, [1])
    with open(path, "ab") as f:
        for message in (b"\xff" * 11, b"\x2a\x03abc", messages.event(0.0, 1, summary=b"\x0a\x04\x42\x02\xff\xff")):
            f.write(records.record(message))
        f.write(records.record(messages.event(0.0, 5, summary=messages.scalar("loss", 2.0))))
    run = found(tmp_path)["."]
    assert values(run) == [1, 2] and "cannot be read" in run.about()["problems"][0]


def test_a_file_that_was_begun_anew(tmp_path):
    path = write(tmp_path, range(9))
    runs = Runs(tmp_path)
    runs.refresh()
    os.remove(path)
    os.rename(write(tmp_path / "other", [7]), path)
    os.rmdir(tmp_path / "other")
    runs.refresh()
    assert list(runs.runs) == ["."] and values(runs.runs["."]) == [7]


def test_going_on_hides_what_came_later(tmp_path):
    write(tmp_path, [0, 1, 2, 3, 4])
    with SummaryWriter(tmp_path, purge_step=3, filename_suffix=".later") as w:
        w.add_scalar("loss", 30, 3)
    assert values(found(tmp_path)["."]) == [0, 1, 2, 30]


def test_several_runs(tmp_path):
    for name in ("b", "a/1", "a/2", ".hidden"):
        write(tmp_path / name, [1])
    (tmp_path / "empty").mkdir()
    os.mkfifo(tmp_path / "b" / "events.out.tfevents.pipe")  # would block whoever opens it
    runs = Runs(tmp_path)
    runs.refresh()
    assert sorted(runs.runs) == ["a/1", "a/2", "b"]
    shutil.rmtree(tmp_path / "a")
    runs.refresh()
    assert sorted(runs.runs) == ["b"]


def test_metrics_of_the_examples(tmp_path):
    (tmp_path / "x").mkdir()
    history = [{"epoch": 1, "loss": 2.0, "seconds": 1.5, "note": "text"}, {"epoch": 2, "loss": float("nan"), "accuracy": 0.5, "seconds": 3.0}]
    file = tmp_path / "x" / "metrics.json"
    file.write_text(json.dumps({"history": history, "result": {"accuracy": 0.5, "framework": "Rushlight"}}))
    runs = Runs(tmp_path)
    runs.refresh()
    run = runs.runs["x"]
    assert sorted(run.series()) == ["accuracy", "loss"]
    assert run.scalars(100)["loss"]["steps"] == [1, 2] and run.scalars(100)["loss"]["values"] == [2.0, None]
    assert run.scalars(100)["loss"]["wrong"] == 1
    walls = run.scalars(100)["loss"]["walls"]
    assert walls[1] - walls[0] == pytest.approx(1.5) and walls[1] == pytest.approx(file.stat().st_mtime, abs=0.01)
    assert run.shown_media()["result"]["framework"] == "Rushlight"
    file.write_text('{"history": [')  # while it is being written
    os.utime(file, (1, 1))
    runs.refresh()
    assert values(run)[0] == 2.0 and "metrics.json cannot be read" in run.about()["problems"][0]
    for content in ("[]", '{"history": 3}', '{"history": [1, {"loss": []}]}', '{"result": 1}', "[" * 10**5):
        file.write_text(content)
        os.utime(file, (len(content), 2))
        runs.refresh()
        run.about(), run.shown_media()


def test_long_curves_keep_their_extremes():
    s = Series()
    for i in range(10_000):
        s.add(i, {1234: 50.0, 7777: -50.0, 5000: float("nan")}.get(i, i % 7), 0.0)
    shown = s.shown(500)
    assert len(shown["steps"]) <= 520 and shown["steps"] == sorted(set(shown["steps"]))
    at = dict(zip(shown["steps"], shown["values"], strict=True))
    assert at[1234] == 50 and at[7777] == -50 and at[5000] is None and {0, 9999} <= set(at) and shown["wrong"] == 1


# ---------------------------------------------------------------- the server


class Board:
    """`rushlight board` in a process of its own."""

    def __init__(self, root):
        self.root = root
        self.process = subprocess.Popen([sys.executable, "-m", "rushlight", "board", str(root), "--port", "0"],
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        assert "is shown at http://127.0.0.1:" in line, line + self.process.stderr.read()
        self.address = line.split(" is shown at ")[1].split()[0]

    def get(self, path, headers=()):
        """(status, headers, body)."""
        request = urllib.request.Request(self.address + path, headers=dict(headers))
        try:
            with urllib.request.urlopen(request) as answer:
                return answer.status, answer.headers, answer.read()
        except urllib.error.HTTPError as e:
            return e.code, e.headers, e.read()

    def json(self, what, **about):
        status, _, body = self.get(f"api/{what}?{urllib.parse.urlencode(about)}")
        assert status == 200, body
        return json.loads(body)


@pytest.fixture(scope="module")
def board(tmp_path_factory):
    root = tmp_path_factory.mktemp("board") / "runs"
    root.mkdir()
    (root.parent / "secret.png").write_bytes(PNG)
    made = Board(root)
    yield made
    made.process.send_signal(signal.SIGINT)
    out, errors = made.process.communicate(timeout=60)
    assert made.process.returncode == 0 and not errors, errors


@pytest.fixture
def root(board):
    yield board.root
    for inner in board.root.iterdir():
        shutil.rmtree(inner)


def test_answers(board, root):
    with SummaryWriter(root / "one") as w:
        w.add_scalar("loss", 0.5, 3, walltime=12.5)
        w.add_scalar("loss", float("inf"), 4, walltime=13.5)
        w.add_text("note", HOSTILE, 1)
        w.add_image("picture", np.zeros((3, 2, 2)), 3)
        w.add_histogram("h", np.arange(5.0), 3)
    (root / "one" / "loss.png").write_bytes(PNG)
    (root / "one" / "explain.json").write_text('{"step": 1, "seconds": NaN, "programs": []}')
    (run,) = board.json("listing")["runs"]
    assert (run["id"], run["name"], run["steps"], run["problems"]) == ("one", "one", 4, [])
    assert board.json("scalars", run="one") == {
        "loss": {"steps": [3, 4], "values": [0.5, None], "walls": [12.5, 13.5], "wrong": 1}}
    media = board.json("media", run="one")
    assert media["texts"] == {"note": [[1, HOSTILE]]} and media["images"] == {"picture": [3]}
    assert [n for n, _ in media["files"]] == ["loss.png"] and sum(media["histograms"]["h"][0][2]) == 5
    assert board.json("looked_at", run="one")["explain"] == {"step": 1, "seconds": None, "programs": []}
    status, headers, body = board.get("api/picture?run=one&tag=picture&number=0")
    assert status == 200 and body[:4] == b"\x89PNG" and headers["Content-Type"] == "image/png"
    assert board.get("api/picture?run=one&file=loss.png")[2] == PNG


def test_the_page_needs_nothing_from_elsewhere(board):
    status, headers, body = board.get("")
    assert status == 200 and b"http" not in body
    assert "default-src 'self'" in headers["Content-Security-Policy"] and headers["X-Content-Type-Options"] == "nosniff"
    for name in ("board.js", "charts.js", "dom.js", "graph.js", "tabs.js", "board.css", "icon.svg", "plotly.js"):
        status, _, content = board.get(name)
        assert status == 200 and content


@pytest.mark.parametrize("path", [
    "../secret.png", "..%2fsecret.png", "%2e%2e/secret.png", "static/../../secret.png", "api/listing/../../../secret.png",
    "api/scalars", "api/scalars?run=..", "api/scalars?run=../..", "api/scalars?run=/etc", "api/scalars?run=one/..",
    "api/picture?run=one&file=../../secret.png", "api/picture?run=one&file=/etc/passwd", "api/picture?run=..&file=secret.png",
    "api/picture?run=one&file=link.png", "api/picture?run=one&file=page.png", "api/picture?run=one&file=loss.png%00",
    "api/picture?run=one&tag=evil&number=0", "api/picture?run=one&tag=none", "api/picture?run=one&tag=evil&number=7", "__init__.py",
    "server.py", "api/picture?run=one&file=metrics.json"])
def test_no_request_reaches_other_files(board, root, path):
    with SummaryWriter(root / "one") as w:
        w.file_writer.add_event(messages.event(0.0, 1, summary=messages.image("evil", (1, 1, 1), b"<svg onload=alert(1)>")))
    (root / "one" / "metrics.json").write_text("{}")
    (root / "one" / "page.png").write_text("<script>alert(1)</script>")
    os.symlink(root.parent / "secret.png", root / "one" / "link.png")
    board.json("listing")
    status, _, body = board.get(path)
    assert status == 404 and PNG not in body and b"script" not in body


@pytest.mark.parametrize("number", ["-1", "x", "1e3", "²", "9" * 30])
def test_wrong_numbers(board, root, number):
    write(root / "one", [1])
    board.json("listing")
    assert board.get(f"api/picture?run=one&tag=x&number={urllib.parse.quote(number)}")[0] == 400


def test_other_names_of_the_machine_are_refused(board):
    """A page from elsewhere whose name has been pointed at this machine cannot read what the board knows."""
    assert board.get("api/listing", {"Host": "elsewhere.example"})[0] == 400
    assert board.get("api/listing", {"Host": "localhost:1234"})[0] == 200


# ---------------------------------------------------------------- the command


def board_command(*arguments):
    return CliRunner().invoke(main, ["board", *map(str, arguments)])


def test_no_such_folder(tmp_path):
    done = board_command(tmp_path / "none")
    assert done.exit_code == 1 and f"there is no folder '{tmp_path / 'none'}'" in done.output


def test_a_port_that_is_taken(tmp_path):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        port = s.getsockname()[1]
        done = board_command(tmp_path, "--port", port)
    assert done.exit_code == 1 and f"127.0.0.1:{port}: Address already in use (--port names another port)" in done.output


@pytest.mark.parametrize("package", ["starlette", "uvicorn", "plotly"])
def test_a_missing_package_says_what_to_do(tmp_path, monkeypatch, package):
    from rushlight.tools.board import server

    if package == "plotly":
        monkeypatch.setattr(server, "find_spec", lambda name: None)
    else:
        for name in [m for m in sys.modules if m.split(".")[0] == package]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.setitem(sys.modules, package, None)
    done = board_command(tmp_path, "--port", 0)
    assert done.exit_code == 1 and f"rushlight board needs {package}: pip install 'rushlight[board]'" in done.output


# ---------------------------------------------------------------- the page


needs_chromium = pytest.mark.skipif(chromium.program() is None, reason="no Chromium or Chrome is on PATH (Debian: apt install chromium)")
CHOSEN = "[...document.querySelectorAll('#main .card h3')].map((e) => e.textContent)"
DRAWN = "document.querySelectorAll('#main .js-plotly-plot .scatterlayer .trace').length"


@pytest.fixture
def page(board, root, tmp_path):
    with chromium.Page(tmp_path / "chromium") as p:
        yield p
        assert not p.problems, p.problems


def record(folder, steps=12):
    """What a run of Rushlight leaves, without running one: fast, and the same each time."""
    with SummaryWriter(folder) as w:
        for i in range(1, steps + 1):
            for tag, x in (("loss", 1 / i), ("test/accuracy", 1 - 1 / i), ("optimizer/learning rate", 0.1), ("gradients/all", 2.0),
                           ("gradients/0.weight", 1.5), ("gradients/0.bias", 0.0), ("time/step", 4e-3), ("time/data", 1e-3),
                           ("time/kernels", 2e-3), ("time/python", 1e-3), ("memory/process", 2e8), ("memory/arena", 1e6)):
                w.add_scalar(tag, x, i)
        w.add_text("note", HOSTILE, 1)
        w.add_image("picture", np.zeros((3, 2, 2)), 3)
        w.add_histogram("weights", np.arange(50.0), 3)
    step = {"label": "tiles", "why": None, "lines": ["train.py:3"], "calls": 1, "runs": 1, "flops": 10**6, "bytes": 10**6}
    operations = [["linear", "float32[64, 10]", "train.py:3", 0, []], ["relu", HOSTILE, "train.py:4", 1, [0]],
                  ["sum", "float32[]", "train.py:5", 1, [1]]]
    program = {"size": 3, "tier": 1, "runs": 1, "seconds": 1e-3, "reads": [["train.py:6", 1]], "operations": operations, "steps": [
        {**step, "operations": ["linear"], "seconds": 3e-4}, {**step, "operations": ["relu", "sum"], "seconds": 1e-4, "label": HOSTILE}]}
    (folder / "explain.json").write_text(json.dumps({"step": 10, "programs": [program]}))
    (folder / "memory.json").write_text(json.dumps({"step": 11, "peak": 4096, "before": 1024, "where": "train.py:4", "rows": [
        [HOSTILE, 2, "float32", [2, 3], 24, "train.py:4"]]}))
    (folder / "curve.png").write_bytes(PNG)


@needs_chromium
def test_page_shows_curves_and_follows_them(board, root, page):
    page.go(board.address)
    page.wait("document.querySelector('#main .empty h2')?.textContent === 'No runs yet'")
    for name in ("first", "second"):
        record(root / name)
    page.wait(f"{DRAWN} >= 8")
    assert page.run(CHOSEN)[:4] == ["loss", "test/accuracy", "norm of the gradients", "learning rate"]
    assert page.run("[...document.querySelectorAll('#runs .name')].map((e) => e.textContent)") == ["first", "second"]
    loss = "document.querySelector('#main .js-plotly-plot')"
    assert page.run(f"{loss}.data.map((t) => t.name)") == ["first", "second"]
    np.testing.assert_allclose(page.run(f"Array.from({loss}.data[0].y)"), [1 / i for i in range(1, 13)], rtol=1e-6)
    with SummaryWriter(root / "second", filename_suffix=".more") as w:
        w.add_scalar("loss", 0.01, 13)
    page.wait(f"{loss}.data[1].y.length === 13")  # without a reload
    page.run("document.querySelector('[data-run=first]').click()")
    page.wait(f"{loss}.data.length === 1 && {loss}.data[0].name === 'second'")
    page.run("document.getElementById('log').click()")
    page.wait(f"{loss}._fullLayout.yaxis.type === 'log'")
    page.run("(() => { const s = document.getElementById('smoothing'); s.value = 0.5; s.dispatchEvent(new Event('input')); })()")
    page.wait(f"{loss}.data.length === 2")  # the smoothed curve, and the plain one behind it
    page.run("(() => { const s = document.getElementById('tag-filter'); s.value = 'ACC'; s.dispatchEvent(new Event('input')); })()")
    page.wait(f"{CHOSEN}.join() === 'test/accuracy'")
    page.run("document.getElementById('none').click()")
    page.wait("document.querySelector('#main .empty h2')?.textContent === 'No run is chosen'")


@needs_chromium
def test_tabs(board, root, page):
    record(root / HOSTILE.replace("/", ""))
    page.go(board.address)
    for tab, what in {
        "scalars": f"{DRAWN} >= 4", "time": "document.querySelector('.parts div:nth-child(2)')?.textContent === '50 %'",
        "memory": "document.querySelector('td')?.textContent.startsWith('2 ×')", "graph": "document.querySelectorAll('.node').length === 2",
        "kernels": "document.querySelectorAll('tbody tr').length === 2 && document.querySelector('tbody').textContent.includes('75 %')",
        "images": "[...document.querySelectorAll('.picture')].length === 2 && [...document.querySelectorAll('.picture')].every((i) => i.naturalWidth)",
        "histograms": f"{DRAWN} === 1", "text": f"document.querySelector('.text')?.textContent === {json.dumps(HOSTILE)}",
    }.items():
        page.run(f"document.querySelector('[data-tab={tab}]')?.click()")
        page.wait(f"document.getElementById('main').dataset.tab === '{tab}' && ({what})")
    page.run("document.querySelector('[data-tab=graph]').click()")
    page.wait("document.querySelectorAll('.node').length === 2")
    page.run("document.querySelectorAll('.node')[1].dispatchEvent(new Event('click'))")
    assert HOSTILE in page.run("document.querySelector('.about').textContent")
    page.run("(() => { const m = document.querySelector('[aria-label=view]'); m.value = 'operations'; m.dispatchEvent(new Event('change')); })()")
    page.wait("document.querySelectorAll('.node').length === 3 && document.querySelectorAll('.edge').length === 2")
    assert page.run("typeof hacked === 'undefined' && !document.querySelector('img[src=x]')")


@needs_chromium
def test_problems_and_colours(board, root, page):
    path = write(root / "broken", range(9))
    with open(path, "r+b") as f:
        f.seek(-9, 2)
        f.write(b"!")
    page.prefer("dark")
    page.go(board.address)
    page.wait("document.querySelector('.problem')?.textContent.includes('is damaged at byte')")
    page.wait("document.querySelector('#main .js-plotly-plot')?.data[0].y.length === 8")
    dark = page.run("getComputedStyle(document.body).backgroundColor")
    page.prefer("light")
    assert page.run("getComputedStyle(document.body).backgroundColor") != dark
