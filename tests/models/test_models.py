"""The model zoo: weights that were saved by the reference implementations load, and the outputs are the same."""

import numpy as np
import pytest
from compat.programs import needs, run

import rushlight as torch
from rushlight import models

SIZES = {"resnet18": 64, "resnet34": 64, "resnet50": 64, "mobilenet_v2": 64, "vgg11_bn": 32, "vit_b_32": 64}


def agree(ours, theirs, tolerance=1e-4):
    theirs = np.asarray(theirs)
    np.testing.assert_allclose(ours.detach().numpy(), theirs, rtol=tolerance, atol=tolerance * np.abs(theirs).max())


@pytest.fixture(scope="module")
def torchvisions(tmp_path_factory):
    """What torchvision's networks say, after saving their weights."""
    needs("torchvision", "PIL")
    folder = tmp_path_factory.mktemp("torchvision")
    return folder, run(f"""
        import torchvision
        for name, size in {SIZES}.items():
            torch.manual_seed(0)
            picture = dict(image_size=size) if name.startswith("vit") else dict()
            net = getattr(torchvision.models, name)(num_classes=5, **picture)
            for module in net.modules():
                if isinstance(module, torch.nn.BatchNorm2d):  # as after training
                    module.running_mean.normal_(0, 0.1), module.running_var.uniform_(0.5, 1.5), module.weight.data.uniform_(0.5, 1.5)
            if name.startswith("vit"):  # the scores' weights are zero at first
                torch.nn.init.normal_(net.heads.head.weight, std=0.05)
            torch.save(net.state_dict(), name + ".pt")
            numbers[name + " keys"] = " ".join(net.state_dict())
            numbers[name] = net.eval()(data(2, 3, size, size))
    """, folder, real=True)


@pytest.mark.parametrize("name", SIZES)
def test_torchvisions_weights(name, torchvisions):
    folder, theirs = torchvisions
    size = SIZES[name]
    net = getattr(models, name)(num_classes=5, **({"image_size": size} if name.startswith("vit") else {}))
    assert " ".join(net.state_dict()) == theirs[f"{name} keys"]
    net.load_state_dict(torch.load(folder / f"{name}.pt"))
    (folder / f"{name}.pt").unlink()
    x = torch.from_numpy(np.random.RandomState(1).standard_normal((2, 3, size, size)).astype("float32"))
    with torch.no_grad():
        agree(net.eval()(x), theirs[name], 1e-3)


TOKENS = [[3, 1, 4, 1, 5, 9], [2, 6, 5, 3, 5, 8]]


def test_transformers_gpt2(tmp_path):
    needs("transformers")
    theirs = run(f"""
        from transformers import GPT2Config, GPT2LMHeadModel
        torch.manual_seed(0)
        net = GPT2LMHeadModel(GPT2Config(vocab_size=20, n_positions=16, n_embd=32, n_layer=3, n_head=4, bos_token_id=0, eos_token_id=0))
        for p in net.parameters():
            torch.nn.init.normal_(p, std=0.2)
        torch.save(net.state_dict(), "weights.pt")
        numbers["keys"] = " ".join(net.state_dict())
        numbers["scores"] = net.eval()(torch.tensor({TOKENS})).logits
    """, tmp_path, real=True)
    net = models.GPT2(20, 16, 32, 3, 4).eval()
    assert " ".join(net.state_dict()) == theirs["keys"]
    net.load_state_dict(torch.load(tmp_path / "weights.pt"))
    tokens = torch.tensor(TOKENS)
    with torch.no_grad():
        agree(net(tokens)[0], theirs["scores"])
        first, past = net(tokens[:, :3])
        agree(torch.cat([first, net(tokens[:, 3:], past)[0]], 1), theirs["scores"])  # several at once, with the cache


@pytest.mark.parametrize("head", ["BertModel", "BertForMaskedLM"])
def test_transformers_bert(head, tmp_path):
    needs("transformers")
    theirs = run(f"""
        from transformers import BertConfig, {head}
        torch.manual_seed(0)
        net = {head}(BertConfig(vocab_size=20, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48))
        for p in net.parameters():
            torch.nn.init.normal_(p, std=0.2)
        torch.save(net.state_dict(), "weights.pt")
        numbers["keys"] = " ".join(sorted(net.state_dict()))
        mask = torch.tensor([[1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0]])
        made = net.eval()(torch.tensor({TOKENS}), mask, torch.tensor([[0, 0, 0, 1, 1, 1]] * 2))
        numbers["found"] = made[0]
        if len(made) > 1:
            numbers["pooled"] = made[1]
    """, tmp_path, real=True)
    kind = {"BertModel": models.BERT, "BertForMaskedLM": models.BERTMaskedLM}[head]
    net = kind(20, 32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48).eval()
    assert " ".join(sorted(net.state_dict())) == theirs["keys"]
    net.load_state_dict(torch.load(tmp_path / "weights.pt"))
    mask = torch.tensor([[1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0]])
    with torch.no_grad():
        made = net(torch.tensor(TOKENS), mask, torch.tensor([[0, 0, 0, 1, 1, 1]] * 2))
    if head == "BertModel":
        agree(made[0], theirs["found"])
        agree(made[1], theirs["pooled"])
    else:
        agree(made, theirs["found"])


def test_lstm_language_model(tmp_path):
    """PyTorch's example has the modules drop, encoder, rnn and decoder."""
    theirs = run(f"""
        torch.manual_seed(0)
        net = torch.nn.ModuleDict(dict(encoder=torch.nn.Embedding(20, 12), rnn=torch.nn.LSTM(12, 16, 2), decoder=torch.nn.Linear(16, 20)))
        torch.save(net.state_dict(), "weights.pt")
        x, state = net["rnn"](net["encoder"](torch.tensor({TOKENS}).T))
        numbers["scores"], numbers["cells"] = net["decoder"](x), state[1]
    """, tmp_path, real=True)
    net = models.LSTMLanguageModel(20, 12, 16).eval()
    net.load_state_dict(torch.load(tmp_path / "weights.pt"))
    with torch.no_grad():
        scores, state = net(torch.tensor(TOKENS).T)
    agree(scores, theirs["scores"])
    agree(state[1], theirs["cells"])


@pytest.mark.parametrize("make", [
    lambda: models.resnet18(num_classes=4), lambda: models.MobileNetV2(4, width_mult=0.25, dropout=0.0),
    lambda: models.VGG([(8,), (16, 16)], True, 4, dropout=0.0),
    lambda: models.VisionTransformer(32, 8, 2, 4, 32, 64, num_classes=4),
], ids=["resnet", "mobilenet", "vgg", "vit"])
def test_they_learn(make):
    torch.manual_seed(0)
    net, x, y = make(), torch.randn(8, 3, 32, 32), torch.arange(8) % 4
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    losses = []
    for _ in range(20):
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(net(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]


def test_wrong_sizes_are_named():
    with pytest.raises(ValueError, match="64x64.*32, 32"):
        models.VisionTransformer(64, 8, 1, 2, 16, 32)(torch.zeros(1, 3, 32, 32))
    with pytest.raises(ValueError, match="17 tokens.*16 places"):
        models.GPT2(5, 16, 8, 1, 2)(torch.zeros(1, 17, dtype=torch.int64))
    with pytest.raises(ValueError, match="same width"):
        models.LSTMLanguageModel(5, 8, 16, tied=True)


def test_published_files_of_gpt2():
    """The Hub's file: no prefix, no lm_head, causal masks among the weights."""
    torch.manual_seed(0)
    net, other = (models.GPT2(20, 16, 32, 2, 4).eval() for _ in range(2))
    state = {n.removeprefix("transformer."): x for n, x in net.state_dict().items() if n != "lm_head.weight"}
    state["h.0.attn.bias"], state["h.1.attn.masked_bias"] = torch.ones(1, 1, 16, 16), torch.tensor(-1e4)
    other.load_state_dict(state)
    agree(other(torch.tensor(TOKENS))[0].detach(), net(torch.tensor(TOKENS))[0].detach())
    assert "wte.weight" in state  # the caller's dict is as it was
    state.pop("wpe.weight")
    with pytest.raises(RuntimeError, match="wpe.weight"):
        other.load_state_dict(state)
    within = torch.nn.ModuleDict({"a": net})
    within.load_state_dict({"a." + n: x for n, x in other.state_dict().items()})


def test_published_files_of_bert():
    """The Hub's file: prefix `bert.`, gamma and beta, the heads of both tasks, one table for reading and scoring."""
    torch.manual_seed(0)
    sizes = {"num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}
    whole, masked = models.BERT(20, 32, **sizes).eval(), models.BERTMaskedLM(20, 32, **sizes).eval()
    masked.bert.load_state_dict({n: x for n, x in whole.state_dict().items() if "pooler" not in n})
    state = {"bert." + n: x for n, x in whole.state_dict().items()}
    state |= {n: x for n, x in masked.state_dict().items() if n.startswith("cls.") and "decoder" not in n}
    state = {n.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): x for n, x in state.items()}
    state |= {"cls.seq_relationship.weight": torch.zeros(2, 32), "bert.embeddings.position_ids": torch.arange(512)[None]}
    tokens = torch.tensor(TOKENS)
    for net in (whole, masked):
        other = type(net)(20, 32, **sizes).eval()
        other.load_state_dict(state)
        for a, b in zip(*(x if isinstance(x, tuple) else (x,) for x in (other(tokens), net(tokens))), strict=True):
            agree(a.detach(), b.detach())
    with pytest.raises(RuntimeError, match="word_embeddings"):
        whole.load_state_dict({n: x for n, x in state.items() if "word_embeddings" not in n})


def test_loaded_when_used():
    import subprocess
    import sys

    code = "import sys, rushlight; assert 'rushlight.models' not in sys.modules; rushlight.models.vgg11; " \
           "assert 'rushlight.models.resnet' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
