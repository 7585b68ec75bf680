"""Event files: what is written is read back; the format's bytes; broken files."""

from __future__ import annotations

import io
import struct
import sys

import numpy as np
import pytest
from PIL import Image

import rushlight as torch
from rushlight.utils.tensorboard import FileWriter, SummaryWriter, read_events, records, wire


@pytest.fixture
def writer(tmp_path):
    with SummaryWriter(tmp_path) as w:
        yield w


def read(writer, kind=None):
    writer.flush()
    return read_events(writer.log_dir, kind)


def the_one(writer, kind):
    (e,) = read(writer, kind)
    return e


# ---------------------------------------------------------------- the format


@pytest.mark.parametrize("data, crc", [
    (b"", 0), (b"123456789", 0xE3069283), (bytes(32), 0x8A9136AA), (b"\xff" * 32, 0x62A8AB43),
    (bytes(range(32)), 0x46DD794E)])
def test_checksum_of_rfc_3720(data, crc):
    assert records.crc32c(data) == crc


@pytest.mark.parametrize("size", [4095, 4096, 4097, 10_000])
def test_long_checksums_agree_with_short_ones(size, monkeypatch):
    data = np.random.default_rng(0).bytes(size)
    fast = records.crc32c(data)
    monkeypatch.setattr(records, "CHUNK", 1 << 20)
    assert records.crc32c(data) == fast


@pytest.mark.parametrize("n, encoded", [
    (0, b"\0"), (127, b"\x7f"), (128, b"\x80\x01"), (300, b"\xac\x02"), (-1, b"\xff" * 9 + b"\x01")])
def test_varints(n, encoded):
    assert wire.varint(n) == encoded
    ((number, value),) = wire.fields(wire.integer(3, n))
    assert number == 3 and wire.signed(value) == n


def test_broken_messages_are_errors():
    for bad in (b"\x80", wire.data(1, "abc")[:-1], b"\x0b", b"\xff" * 11):
        with pytest.raises(ValueError):
            list(wire.fields(bad))


def test_a_record_is_what_tensorflow_writes():
    made = records.record(b"abc")
    assert struct.unpack("<Q", made[:8]) == (3,) and made[12:15] == b"abc" and len(made) == 19
    assert list(records.read_records(made * 2)) == [b"abc", b"abc"]


@pytest.mark.parametrize("cut", [1, 5, 20])
def test_a_truncated_last_record_is_left_out(tmp_path, cut):
    with SummaryWriter(tmp_path) as w:
        for i in range(5):
            w.add_scalar("x", i, i)
    path = w.file_writer.path
    with open(path, "rb") as f:
        content = f.read()
    with open(path, "wb") as f:
        f.write(content[:-cut])
    assert [e.value for e in read_events(path, "scalar")] == [0, 1, 2, 3]


def test_a_wrong_checksum_is_an_error(tmp_path):
    with SummaryWriter(tmp_path) as w:
        w.add_scalar("x", 1, 1)
    path = w.file_writer.path
    with open(path, "rb") as f:
        content = bytearray(f.read())
    content[-6] ^= 1
    with open(path, "wb") as f:
        f.write(content)
    with pytest.raises(records.RecordError, match="checksum of its data"):
        read_events(path)


# ---------------------------------------------------------------- what can be written


def test_scalars(writer):
    writer.add_scalar("python", 1.5, 1, walltime=12.5)
    writer.add_scalar("tensor", torch.tensor([2.5], requires_grad=True), torch.tensor(2))
    writer.add_scalar("half", torch.tensor(0.5, dtype=torch.bfloat16))
    writer.add_scalar("new", 3, 3, new_style=True)
    writer.add_scalar("double", 1 + 1e-12, 4, double_precision=True)
    writer.add_scalar("huge", 1e300, -7)
    found = {e.tag: e for e in read(writer, "scalar")}
    assert {t: e.value for t, e in found.items()} == {
        "python": 1.5, "tensor": 2.5, "half": 0.5, "new": 3.0, "double": 1 + 1e-12,
        "huge": float("inf")}
    assert [e.step for e in found.values()] == [1, 2, 0, 3, 4, -7]
    assert found["python"].wall_time == 12.5
    with pytest.raises(ValueError, match="single number"):
        writer.add_scalar("x", torch.ones(2))


def test_scalars_of_several_runs(writer):
    writer.add_scalars("acc", {"train": 1, "val": torch.tensor(2.0)}, 5)
    found = {e.path.rsplit("/", 2)[1]: (e.tag, e.value, e.step) for e in read(writer, "scalar")}
    assert found == {"acc_train": ("acc", 1, 5), "acc_val": ("acc", 2, 5)}


@pytest.mark.parametrize("bins", ["tensorflow", "auto", "fd", [-10, 0, 1, 10]])
def test_histograms(writer, bins):
    x = np.random.default_rng(0).standard_normal(500)
    writer.add_histogram("h", torch.tensor(x), 3, bins=bins)
    h = the_one(writer, "histogram").value
    assert (h["min"], h["max"], h["num"]) == (x.min(), x.max(), 500)
    np.testing.assert_allclose([h["sum"], h["sum_squares"]], [x.sum(), (x * x).sum()])
    limits, counts = np.array(h["bucket_limits"]), np.array(h["bucket_counts"])
    assert counts.sum() == 500 and counts[0] == 0 and (np.diff(limits) > 0).all()
    for limit, below in zip(limits[:-1], counts.cumsum(), strict=False):
        assert below == (x < limit).sum()


def test_histograms_with_fewer_buckets_and_errors(writer):
    writer.add_histogram("h", torch.arange(100), bins=50, max_bins=10)
    h = the_one(writer, "histogram").value
    assert len(h["bucket_counts"]) <= 11 and sum(h["bucket_counts"]) == 100
    for bad in ([], [1.0, float("nan")]):
        with pytest.raises(ValueError, match="add_histogram"):
            writer.add_histogram("h", torch.tensor(bad))


def test_raw_histograms(writer):
    writer.add_histogram_raw("h", 0, 2, 3, 3.0, 5.0, [1, 2, 3], [1, 1, 1], 4)
    e = the_one(writer, "histogram")
    assert e.step == 4 and e.value == {
        "min": 0, "max": 2, "num": 3, "sum": 3, "sum_squares": 5, "bucket_limits": [1, 2, 3],
        "bucket_counts": [1, 1, 1]}
    with pytest.raises(ValueError, match="3 bucket_limits but 1"):
        writer.add_histogram_raw("h", 0, 2, 3, 3.0, 5.0, [1, 2, 3], [1])


def pixels(event):
    made = np.asarray(Image.open(io.BytesIO(event.value["data"])))
    assert made.shape[:2] == (event.value["height"], event.value["width"])
    return made


@pytest.mark.parametrize("formats, order", [("CHW", (0, 1, 2)), ("HWC", (1, 2, 0)),
                                            ("WHC", (2, 1, 0))])
def test_pictures(writer, formats, order):
    a = np.random.default_rng(0).integers(0, 256, (3, 5, 7), np.uint8)
    writer.add_image("u8", torch.tensor(np.ascontiguousarray(a.transpose(order))),
                     dataformats=formats)
    np.testing.assert_array_equal(pixels(the_one(writer, "image")), a.transpose(1, 2, 0))


def test_pictures_of_floats_and_batches(writer):
    x = torch.tensor([[0.0, 0.5, 1.0, 2.0, -1.0]])
    writer.add_image("gray", x, dataformats="HW")
    writer.add_images("batch", torch.arange(5).reshape(5, 1, 1, 1).expand(5, 1, 2, 3) / 255)
    writer.add_image("mask", torch.tensor([[True, False]]), dataformats="HW")
    gray, batch, mask = read(writer, "image")
    assert pixels(gray).tolist() == [[0, 127, 255, 255, 0]] and gray.value["channels"] == 1
    assert pixels(batch)[::2, ::3].tolist() == [[0, 1, 2], [3, 4, 0]]
    assert pixels(mask).tolist() == [[255, 0]]
    for bad, formats in ((torch.ones(3, 4, 4), "HW"), (torch.ones(3, 4, 4), "CHX"),
                         (torch.ones(2, 4, 4), "CHW")):
        with pytest.raises(ValueError, match="add_image"):
            writer.add_image("x", bad, dataformats=formats)


def test_figures_boxes_films_and_sounds(writer):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(2, 1), dpi=50)
    figure.subplots().plot([1, 2])
    writer.add_figure("figure", figure, 1, close=False)
    writer.add_image_with_boxes("boxes", torch.zeros(3, 20, 30), torch.tensor([[2, 3, 10, 12]]))
    writer.add_video("film", torch.rand(2, 3, 3, 4, 4), fps=10)
    writer.add_audio("sound", torch.sin(torch.arange(100) / 5), sample_rate=8000)
    drawn, boxes, film = read(writer, "image")
    assert pixels(drawn).shape == (50, 100, 3)
    assert pixels(boxes)[3, 5].tolist() == [255, 0, 0] and pixels(boxes)[6, 6].tolist() == [0, 0, 0]
    assert Image.open(io.BytesIO(film.value["data"])).n_frames == 3
    sound = the_one(writer, "audio").value
    assert sound["frames"] == 100 and sound["sample_rate"] == 8000
    import wave

    with wave.open(io.BytesIO(sound["data"])) as f:
        assert f.getnframes() == 100 and f.getframerate() == 8000


def test_a_missing_pillow_is_named(writer, monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(ImportError, match="pip install Pillow"):
        writer.add_image("x", torch.ones(1, 2, 2))


def test_texts_and_tensors(writer):
    writer.add_text("note", "**grüße**", 2)
    writer.add_tensor("t", torch.tensor([[1, 2], [3, 4]]), 1)
    assert (the_one(writer, "text").tag, the_one(writer, "text").value) == ("note", "**grüße**")
    assert the_one(writer, "tensor").value.tolist() == [[1, 2], [3, 4]]


def test_precision_and_recall(writer):
    labels, scores = torch.tensor([1, 1, 0, 0, 1]), torch.tensor([0.9, 0.4, 0.6, 0.1, 1.0])
    writer.add_pr_curve("pr", labels, scores, 1, num_thresholds=11)
    tp, fp, tn, fn, precision, recall = the_one(writer, "pr_curve").value
    for k in range(11):
        called = scores.numpy() >= k / 10 - 1e-6
        yes = labels.numpy() == 1
        assert (tp[k], fp[k]) == ((called & yes).sum(), (called & ~yes).sum())
        assert (tn[k], fn[k]) == ((~called & ~yes).sum(), (~called & yes).sum())
    np.testing.assert_allclose(recall, tp / 3, rtol=1e-6)
    np.testing.assert_allclose(precision, tp / (tp + fp), rtol=1e-6)
    with pytest.raises(ValueError, match="5 labels but 4"):
        writer.add_pr_curve("pr", labels, scores[:4])


def test_hyperparameters(writer):
    writer.add_hparams({"lr": 0.1, "bn": True, "name": "sgd"}, {"acc": 0.5}, {"name": ["sgd", "x"]},
                       run_name="first", global_step=3)
    found = read(writer)
    assert [e.tag for e in found if e.kind == "hparams"] == [
        f"_hparams_/{n}" for n in ("experiment", "session_start_info", "session_end_info")]
    assert next(e for e in found if e.kind == "scalar").value == 0.5
    start = next(e for e in found if "start" in e.tag).value
    (_, body), = wire.fields(start)
    values = dict(tuple(x for _, x in wire.fields(v)) for n, v in wire.fields(body) if n == 1)
    assert set(values) == {b"lr", b"bn", b"name"}
    assert list(wire.fields(values[b"bn"])) == [(4, 1)]
    with pytest.raises(TypeError, match="'x' should be"):
        writer.add_hparams({"x": [1]}, {})
    with pytest.raises(ValueError, match="'y'"):
        writer.add_hparams({"x": 1}, {}, {"y": [1]})


def test_custom_charts(writer):
    writer.add_custom_scalars_multilinechart(["a", "b"], title="two")
    writer.add_custom_scalars_marginchart(["v", "l", "u"], category="other")
    last = read(writer, "custom_scalars")[-1].value
    assert [dict(wire.fields(c))[1] for _, c in wire.fields(last)] == [b"default", b"other"]
    with pytest.raises(ValueError, match="margin chart"):
        writer.add_custom_scalars_marginchart(["v"])
    with pytest.raises(ValueError, match="Multiline"):
        writer.add_custom_scalars({"c": {"t": ["Pie", ["a"]]}})


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.body = torch.nn.Sequential(torch.nn.Linear(4, 5), torch.nn.BatchNorm1d(5))
        self.head = torch.nn.Linear(5, 2)

    def forward(self, x, y):
        return self.head(self.body(x).relu() + y), x.chunk(2)


def nodes(graph):
    found = {}
    for number, n in wire.fields(graph):
        if number == 1:
            parts = list(wire.fields(n))
            found[dict(parts)[1].decode()] = [x.decode() for k, x in parts if k == 3]
    return found


def test_graphs(writer):
    net = Net()
    before = {k: v.clone() for k, v in net.state_dict().items()}
    state = torch.get_rng_state()
    for _ in range(2):  # the second time along a known path
        writer.add_graph(net, (torch.rand(3, 4), torch.rand(3, 5)))
    first, graph = [nodes(e.value) for e in read(writer, "graph")]
    assert first == graph
    assert graph["Net/body/0/linear"] == ["input/0", "Net/body/0/weight", "Net/body/0/bias"]
    assert graph["Net/head/linear"][0] == "Net/add" and graph["Net/add"] == ["Net/relu", "input/1"]
    assert graph["output/0"] == ["Net/head/linear"]
    assert all(i.split(":")[0] in graph for inputs in graph.values() for i in inputs)
    assert net.training and all(torch.equal(before[k], v) for k, v in net.state_dict().items())
    assert not net.head._forward_hooks and torch.get_rng_state().numel() == state.numel()
    with pytest.raises(ValueError, match="input_to_model"):
        writer.add_graph(net)


def test_embeddings(writer, tmp_path):
    writer.add_embedding(torch.arange(6.0).reshape(3, 2), ["a", "b\tc", "d"],
                         torch.rand(3, 1, 4, 4), 7, "my/points")
    writer.add_embedding(torch.ones(2, 2), [[1, "x"], [2, "y"]], metadata_header=["n", "s"])
    place = tmp_path / "00007" / "my%2fpoints"
    assert (place / "tensors.tsv").read_text() == "0\t1\n2\t3\n4\t5\n"
    assert (place / "metadata.tsv").read_text() == "a\nb c\nd\n"
    assert Image.open(place / "sprite.png").size == (8, 8)
    assert (tmp_path / "00000" / "default" / "metadata.tsv").read_text() == "n\ts\n1\tx\n2\ty\n"
    config = (tmp_path / "projector_config.pbtxt").read_text()
    assert config.count("embeddings {") == 2 and "single_image_dim: 4" in config
    with pytest.raises(ValueError, match="3 points but 2 labels"):
        writer.add_embedding(torch.ones(3, 2), ["a", "b"])


# ---------------------------------------------------------------- files


def test_default_folder_and_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with SummaryWriter(comment="_mine", filename_suffix=".sfx") as w:
        assert w.get_logdir().startswith("runs/") and w.get_logdir().endswith("_mine")
        assert w.file_writer.path.endswith(".sfx") and "events.out.tfevents." in w.file_writer.path
    (version,) = read_events(w.get_logdir())
    assert (version.kind, version.value) == ("version", "brain.Event:2")


def test_purge_step_is_written(tmp_path):
    with SummaryWriter(tmp_path, purge_step=10) as w:
        w.add_scalar("x", 1, 10)
    assert [(e.kind, e.step) for e in read_events(tmp_path)][1:] == [("purge", 10), ("scalar", 10)]


def test_queue_and_time_decide_when_to_write(tmp_path):
    w = FileWriter(tmp_path, max_queue=2, flush_secs=1000)
    from rushlight.utils.tensorboard import messages

    for n, there in ((1, 1), (2, 1), (3, 4)):
        w.add_event(messages.event(0.0, n, summary=messages.scalar("x", n)))
        assert len(read_events(w.path)) == there
    w.flush_secs = 0
    w.add_event(messages.event(0.0, 9))
    w.close()
    assert len(read_events(w.path, "scalar")) == 3


def test_adding_after_close_opens_again(tmp_path):
    w = SummaryWriter(tmp_path)
    w.close()
    w.add_scalar("x", 1)
    w.close()
    assert len(read_events(tmp_path, "scalar")) == 1


def test_no_event_files(tmp_path):
    with pytest.raises(FileNotFoundError, match="no event files"):
        read_events(tmp_path)


def test_what_is_not_there_says_so(writer):
    for call in (lambda: writer.add_onnx_graph(""), lambda: writer.add_mesh("x", None)):
        with pytest.raises(NotImplementedError, match="is not there"):
            call()


def test_tensorboard_reads_it(tmp_path):
    from tensorboard.backend.event_processing import event_accumulator as accumulator

    with SummaryWriter(tmp_path) as w:
        w.add_scalar("x", 1.5, 3)
        w.add_histogram("h", torch.ones(3))
    found = accumulator.EventAccumulator(str(tmp_path))
    found.Reload()
    assert found.Scalars("x")[0].value == 1.5 and found.Histograms("h")[0].histogram_value.num == 3
