"""Vocabularies, tokens, batches of text, and the sets of text."""

from __future__ import annotations

import gzip
import pickle

import numpy as np
import pytest

import rushlight as torch
from rushlight.datasets import files, text

data = torch.utils.data


LINES = ["the cat sat", "the dog sat", "a cat"]


def test_vocabulary():
    v = text.build_vocab_from_iterator(map(str.split, LINES), min_freq=2, specials=["<unk>", "the"])
    assert v.get_itos() == ["<unk>", "the", "cat", "sat"]
    with pytest.raises(RuntimeError, match="'dog' not found and default index is not set"):
        v["dog"]
    v.set_default_index(v["<unk>"])
    assert v(["dog", "cat"]) == [0, 2] and v.get_default_index() == 0
    v.insert_token("dog", 1)
    assert v["dog"] == 1 and v["the"] == 2 and v.get_stoi()["sat"] == 4
    with pytest.raises(ValueError, match="'dog' already exists"):
        v.append_token("dog")
    with pytest.raises(IndexError, match="5 is out of range"):
        v.lookup_token(5)
    assert pickle.loads(pickle.dumps(v))(["sat"]) == [4]
    small = text.build_vocab_from_iterator(map(str.split, LINES), specials=["!"], max_tokens=3,
                                           special_first=False)
    assert small.get_itos() == ["cat", "sat", "!"]
    with pytest.raises(ValueError, match="leaves no room"):
        text.build_vocab_from_iterator([], specials=["a"], max_tokens=1)


def test_tokens():
    assert text.basic_english('It\'s "so", (well): fine.<br />A') == [
        "it", "'", "s", "so", ",", "(", "well", ")", "fine", ".", "a"]
    with pytest.raises(ValueError, match="'spacy' is none of"):
        text.get_tokenizer("spacy")


def test_subwords(tmp_path):
    bpe = text.train_bpe(LINES * 5, 300, specials=["<pad>"])
    line = "the cät \N{SNOWMAN} sat"
    assert bpe.decode(bpe(line)) == line and bpe["<pad>"] == 0 and len(bpe) <= 300
    bpe.save(tmp_path / "b.json")
    for again in (text.Subwords.load(tmp_path / "b.json"), pickle.loads(pickle.dumps(bpe))):
        assert again.batch([line, "a"]) == [bpe(line), bpe("a")]
    pieces = text.train_wordpiece(LINES * 5, 60)
    assert pieces.decode(pieces("the dog")) == "the dog" and pieces.tokens("\u4e00") == ["[UNK]"]
    with pytest.raises(FileNotFoundError):
        text.Subwords.load(tmp_path / "none.json")


def test_subwords_without_the_library(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "tokenizers", None)
    with pytest.raises(ImportError, match="pip install tokenizers"):
        text.train_bpe(LINES, 300)


def test_padding():
    a, b = torch.ones(2, 3), torch.ones(1, 3) * 2
    x, n = text.PadCollate(-1.0, lengths=True)([a, b])
    assert n.tolist() == [2, 1] and x[1].tolist() == [[2, 2, 2], [-1, -1, -1]]
    assert text.PadCollate(batch_first=False)([a, b]).shape == (2, 2, 3)
    assert text.PadCollate(multiple_of=8)([[1], []]).tolist() == [[1] + [0] * 7, [0] * 8]
    d = text.PadCollate()([{"x": np.arange(2), "y": "a"}, {"x": np.arange(1), "y": "b"}])
    assert d["x"].tolist() == [[0, 1], [0, 0]] and d["y"] == ["a", "b"]
    with pytest.raises(RuntimeError, match=r"sample 1 .* \(1, 4\)"):
        text.PadCollate()([a, torch.ones(1, 4)])


LENGTHS = (np.random.RandomState(0).randint(1, 40, 300)).tolist()


@pytest.mark.parametrize("options", [
    {"batch_size": 8}, {"batch_size": 8, "drop_last": True}, {"max_tokens": 90},
    {"batch_size": 8, "shuffle": False}, {"max_tokens": 90, "shuffle": False},
    {"batch_size": 8, "bucket": 3},
], ids=str)
def test_buckets(options):
    sampler = text.BucketBatchSampler(LENGTHS, **options)
    batches = list(sampler)
    assert len(sampler) == len(batches)
    seen = sorted(i for b in batches for i in b)
    assert seen == list(range(300)) or (options.get("drop_last") and len(seen) == 296)
    padded = sum(len(b) * max(LENGTHS[i] for i in b) for b in batches)
    assert padded < 1.5 * sum(LENGTHS[i] for i in seen)
    if "max_tokens" in options:
        assert all(len(b) * max(LENGTHS[i] for i in b) <= 90 for b in batches)
    assert (batches == list(sampler)) == (options.get("shuffle") is False)


def test_buckets_in_a_loader_resume():
    samples = [[n] * n for n in LENGTHS]

    def loader():
        return data.DataLoader(samples, batch_sampler=text.BucketBatchSampler(
            len, 16, data=samples), collate_fn=text.PadCollate())

    torch.manual_seed(2)
    first = loader()
    iterator = iter(first)
    for _ in range(5):
        next(iterator)
    state = first.state_dict()
    second = loader()
    second.load_state_dict(state)
    assert [b.tolist() for b in second] == [b.tolist() for b in iterator]


@pytest.mark.parametrize("options,said", [
    ({}, "either batch_size or max_tokens"), ({"batch_size": 0}, "positive"),
    ({"max_tokens": 3}, "more than max_tokens=3"),
])
def test_bad_buckets(options, said):
    with pytest.raises(ValueError, match=said):
        text.BucketBatchSampler(LENGTHS, **options)


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "folders", lambda root=None: [] if root is None else [files.Path(root)])
    for path, content in {
        "text/tinyshakespeare.txt": b"First Citizen:\nHear me.\n" * 4,
        "text/rt-polarity.pos": "good caf\u00e9 \n".encode("latin-1") * 20,
        "text/rt-polarity.neg": b"bad\n" * 20,
        "translation/val.en.gz": gzip.compress(b"one\ntwo\n"),
        "translation/val.de.gz": gzip.compress(b"eins\nzwei\n"),
        "translation/test_2016_flickr.en.gz": gzip.compress(b"one\n"),
        "translation/test_2016_flickr.de.gz": gzip.compress(b"eins\nzwei\n"),
        "translation/eng-fra.txt": b"Go.\tVa !\tby\n",
        "names/Czech.txt": "Adam\n\u010cech\n".encode(),
        "names/Arabic.txt": b"Khoury\n",
    }.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_bytes(content)
    return tmp_path


def test_sets(root):
    plays = text.TinyShakespeare(root, length=6, stride=2)
    x, y = plays[1]
    assert "".join(plays.vocabulary.lookup_tokens(x)) == "rst Ci" and y[:-1].tolist() == x[1:].tolist()
    assert len(plays) == (86 - 7) // 2 + 1 and len(plays[len(plays) - 1][1]) == 6
    with pytest.raises(IndexError):
        plays[len(plays)]
    assert text.TinyShakespeare(root, "train").text + text.TinyShakespeare(root, "val").text == (
        text.TinyShakespeare(root, "all").text)
    assert text.Multi30k(root, "valid")[1] == ("zwei", "two")
    assert text.EnglishFrench(root)[0] == ("Go.", "Va !")
    reviews = text.MovieReviews(root)
    assert reviews[-1] == ("good caf\u00e9", 1) and len(reviews) == 40
    assert [len(text.MovieReviews(root, s)) for s in ("train", "test")] == [36, 4]
    names = text.Names(root)
    assert names.classes == ["Arabic", "Czech"] and names[2] == ("\u010cech", 1)


def test_broken_sets(root):
    with pytest.raises(files.DataFileError, match="has 2 lines, but .* has 1"):
        text.Multi30k(root, "test")
    with pytest.raises(files.DataFileError, match="train.de.gz was not found"):
        text.Multi30k(root, "train")
    with pytest.raises(ValueError, match="split should be one of"):
        text.Multi30k(root, "all")
    (root / "translation/val.en.gz").write_bytes(gzip.compress(b"one\ntwo\n" * 99)[:-12])
    with pytest.raises(files.DataFileError, match="val.en.gz is cut short or corrupt"):
        text.Multi30k(root, "valid")
    (root / "text/tinyshakespeare.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(files.DataFileError, match="tinyshakespeare.txt is corrupt"):
        text.TinyShakespeare(root)
    (root / "translation/eng-fra.txt").write_bytes(b"Go.\n")
    with pytest.raises(files.DataFileError, match="line 1: no tab"):
        text.EnglishFrench(root)


def archives(folder):
    """Files as those of the sets of text: one as it is, one in a tar archive, several in a zip archive."""
    import io
    import tarfile
    import zipfile

    (folder / "input.txt").write_text("To be")
    with tarfile.open(folder / "rt.tar.gz", "w:gz") as t:
        for end, content in (("neg", b"too long"), ("pos", b"a joy")):
            member = tarfile.TarInfo(f"rt/rt-polarity.{end}")
            member.size = len(content)
            t.addfile(member, io.BytesIO(content))
    with zipfile.ZipFile(folder / "data.zip", "w") as z:
        for name, content in (("data/names/Greek.txt", "Kalas"), ("data/names/Irish.txt", "Daly"), ("data/other.txt", ""),
                              ("__MACOSX/data/names/._Greek.txt", "?")):
            z.writestr(name, content)
    base = folder.as_uri()
    return {"text/tinyshakespeare.txt": (f"{base}/input.txt", ""), "names": (f"{base}/data.zip", "*/names/*.txt"),
            **{f"text/rt-polarity.{end}": (f"{base}/rt.tar.gz", f"*/rt-polarity.{end}") for end in ("neg", "pos")}}


@pytest.fixture
def source(tmp_path, monkeypatch):
    """A folder in the place of the internet; nothing is there but what is fetched."""
    folder = tmp_path / "source"
    folder.mkdir()
    monkeypatch.setattr(files, "TEXT_SOURCES", archives(folder))
    monkeypatch.setattr(files, "folders", lambda root=None: [root or tmp_path / "cache"])
    monkeypatch.setattr(files, "cache_folder", lambda: tmp_path / "cache")
    return folder


def test_sets_of_text_are_downloaded(source, tmp_path):
    for root in (None, tmp_path / "mine"):
        kept = root or tmp_path / "cache"
        assert text.TinyShakespeare(root, split="all", length=2).text == "To be"
        assert list(text.MovieReviews(root)) == [("too long", 0), ("a joy", 1)]
        assert list(text.Names(root)) == [("Kalas", 0), ("Daly", 1)]
        assert sorted(str(p.relative_to(kept)) for p in kept.rglob("*.*")) == [
            "names/Greek.txt", "names/Irish.txt", "text/rt-polarity.neg", "text/rt-polarity.pos", "text/tinyshakespeare.txt"]
    for p in source.iterdir():  # they are not asked again
        p.unlink()
    assert len(text.Names()) == 2


@pytest.mark.parametrize("damage", ["missing", "cut", "empty", "other content"])
def test_what_cannot_be_downloaded_leaves_nothing(source, tmp_path, damage):
    for name in ("rt.tar.gz", "data.zip"):
        whole = (source / name).read_bytes()
        (source / name).unlink()
        if damage != "missing":
            (source / name).write_bytes({"cut": whole[:-40], "empty": b"", "other content": b"<html>"}[damage])
    for make in (text.MovieReviews, text.Names):
        with pytest.raises(files.DataFileError, match="was not found in .* and fetching it failed: .*(could not download|cut short or corrupt|holds no)"):
            make()
    assert not [p for p in (tmp_path / "cache").rglob("*") if p.is_file()]


def test_a_download_that_is_cut_short_is_refused(tmp_path):
    import http.server
    import threading

    class Short(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", "100")
            self.end_headers()
            self.wfile.write(b"x" * 60)

        def log_message(self, *args):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Short) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with pytest.raises(files.DataFileError, match="cut short, 60 of 100 bytes|IncompleteRead"):
            files.download((f"http://127.0.0.1:{server.server_port}/",), "plays.txt", None, tmp_path)
        server.shutdown()
    assert not list(tmp_path.iterdir())
