"""Every layer: its repr, state, initial weights under a seed, result and gradients."""

import pytest
from programs import fill, same, same_error, values


def run(make, *shapes, train=True, kind="float"):
    """repr, keys, seeded weights, then results and gradients with fixed weights."""

    def program(T):
        T.manual_seed(3)
        m = make(T.nn)
        start = [p.detach().clone() for p in m.parameters()]
        fill(T, m).train(train)
        inputs = [values(T, *s, seed=i).requires_grad_() for i, s in enumerate(shapes)]
        out = m(*inputs)
        total = sum((y * y).sum() for y in flat(T, out))
        total.backward()
        grads = [x.grad for x in inputs], [p.grad for p in m.parameters()]
        return [repr(m), list(m.state_dict()), start, out, grads, dict(m.named_buffers())]

    return program


def flat(T, out):
    if isinstance(out, T.Tensor):
        return [out]
    return [t for o in out if o is not None for t in flat(T, o)]


LAYERS = {
    "Linear": run(lambda nn: nn.Linear(3, 4), (2, 3)),
    "Linear no bias": run(lambda nn: nn.Linear(3, 4, bias=False), (2, 5, 3)),
    "Bilinear": run(lambda nn: nn.Bilinear(2, 3, 4), (5, 2), (5, 3)),
    "Identity": run(lambda nn: nn.Identity(3, unused=1), (2, 3)),
    "Conv1d": run(lambda nn: nn.Conv1d(2, 4, 3, padding=1), (2, 2, 6)),
    "Conv2d": run(lambda nn: nn.Conv2d(2, 4, 3, stride=2, padding=(1, 2)), (2, 2, 6, 5)),
    "Conv2d groups": run(lambda nn: nn.Conv2d(4, 4, 3, groups=2, bias=False), (1, 4, 5, 5)),
    "Conv2d same": run(lambda nn: nn.Conv2d(1, 2, 3, padding="same", dilation=2), (1, 1, 6, 6)),
    "Conv2d reflect": run(
        lambda nn: nn.Conv2d(1, 2, 3, padding=1, padding_mode="reflect"), (1, 1, 5, 5)
    ),
    "Conv3d": run(lambda nn: nn.Conv3d(1, 2, 2), (1, 1, 3, 4, 3)),
    "ConvTranspose1d": run(lambda nn: nn.ConvTranspose1d(2, 3, 3, stride=2), (1, 2, 4)),
    "ConvTranspose2d": run(
        lambda nn: nn.ConvTranspose2d(2, 3, 3, stride=2, padding=1, output_padding=1), (1, 2, 4, 4)
    ),
    "MaxPool1d": run(lambda nn: nn.MaxPool1d(2), (1, 2, 6)),
    "MaxPool2d": run(lambda nn: nn.MaxPool2d(3, stride=2, padding=1), (1, 2, 6, 6)),
    "AvgPool2d": run(lambda nn: nn.AvgPool2d(2), (1, 2, 6, 6)),
    "AvgPool1d": run(lambda nn: nn.AvgPool1d(2), (1, 2, 6)),
    "AdaptiveAvgPool2d": run(lambda nn: nn.AdaptiveAvgPool2d((2, None)), (1, 2, 5, 6)),
    "AdaptiveMaxPool2d": run(lambda nn: nn.AdaptiveMaxPool2d(3), (1, 2, 5, 6)),
    "CrossMapLRN2d": run(lambda nn: nn.CrossMapLRN2d(3, alpha=0.5, k=1.5), (2, 5, 3, 2)),
    "CrossMapLRN2d even": run(lambda nn: nn.CrossMapLRN2d(4, alpha=0.5, beta=2.0), (1, 6, 2, 2)),
    "LPPool2d": run(lambda nn: nn.LPPool2d(2, 2), (1, 2, 4, 4)),
    "BatchNorm1d": run(lambda nn: nn.BatchNorm1d(3), (4, 3)),
    "BatchNorm2d": run(lambda nn: nn.BatchNorm2d(2, momentum=None), (3, 2, 4, 4)),
    "BatchNorm2d eval": run(lambda nn: nn.BatchNorm2d(2), (3, 2, 4, 4), train=False),
    "BatchNorm no stats": run(
        lambda nn: nn.BatchNorm1d(3, affine=False, track_running_stats=False), (4, 3)
    ),
    "InstanceNorm2d": run(lambda nn: nn.InstanceNorm2d(2, affine=True), (3, 2, 4, 4)),
    "LayerNorm": run(lambda nn: nn.LayerNorm((2, 3)), (4, 2, 3)),
    "GroupNorm": run(lambda nn: nn.GroupNorm(2, 4), (3, 4, 5)),
    "RMSNorm": run(lambda nn: nn.RMSNorm(3), (4, 3)),
    "LocalResponseNorm": run(lambda nn: nn.LocalResponseNorm(3), (2, 4, 3, 3)),
    "Dropout eval": run(lambda nn: nn.Dropout(0.3), (2, 3), train=False),
    "Flatten": run(lambda nn: nn.Flatten(), (2, 3, 4)),
    "Unflatten": run(lambda nn: nn.Unflatten(1, (2, 3)), (2, 6)),
    "ZeroPad2d": run(lambda nn: nn.ZeroPad2d((1, 2, 0, 1)), (1, 1, 3, 3)),
    "ConstantPad1d": run(lambda nn: nn.ConstantPad1d(2, 1.5), (1, 1, 3)),
    "ReflectionPad2d": run(lambda nn: nn.ReflectionPad2d(1), (1, 1, 3, 3)),
    "ReplicationPad1d": run(lambda nn: nn.ReplicationPad1d((1, 2)), (1, 2, 3)),
    "CircularPad2d": run(lambda nn: nn.CircularPad2d(1), (1, 1, 3, 3)),
    "PixelShuffle": run(lambda nn: nn.PixelShuffle(2), (1, 4, 2, 3)),
    "Upsample": run(lambda nn: nn.Upsample(scale_factor=2), (1, 2, 3, 3)),
    "Unfold": run(lambda nn: nn.Unfold(2), (1, 2, 3, 3)),
    "CosineSimilarity": run(lambda nn: nn.CosineSimilarity(), (4, 3), (4, 3)),
    "PairwiseDistance": run(lambda nn: nn.PairwiseDistance(), (4, 3), (4, 3)),
    "RNN": run(lambda nn: nn.RNN(3, 4, 2, nonlinearity="relu"), (5, 2, 3)),
    "RNN bidirectional": run(lambda nn: nn.RNN(3, 4, bidirectional=True), (5, 2, 3)),
    "LSTM": run(lambda nn: nn.LSTM(3, 4, 2, batch_first=True), (2, 5, 3)),
    "LSTM projected": run(lambda nn: nn.LSTM(3, 4, proj_size=2, bidirectional=True), (5, 2, 3)),
    "LSTM unbatched": run(lambda nn: nn.LSTM(3, 4, bias=False), (5, 3)),
    "GRU": run(lambda nn: nn.GRU(3, 4, 2, bidirectional=True), (5, 2, 3)),
    "RNNCell": run(lambda nn: nn.RNNCell(3, 4), (2, 3), (2, 4)),
    "LSTMCell": run(lambda nn: nn.LSTMCell(3, 4), (2, 3)),
    "GRUCell": run(lambda nn: nn.GRUCell(3, 4), (2, 3), (2, 4)),
    "MultiheadAttention": run(
        lambda nn: nn.MultiheadAttention(4, 2), (3, 2, 4), (5, 2, 4), (5, 2, 4)
    ),
    "MultiheadAttention bias_kv": run(
        lambda nn: nn.MultiheadAttention(
            4, 2, add_bias_kv=True, add_zero_attn=True, kdim=3, vdim=5, batch_first=True
        ),
        (2, 3, 4), (2, 6, 3), (2, 6, 5),
    ),
    "TransformerEncoderLayer": run(
        lambda nn: nn.TransformerEncoderLayer(4, 2, 8, dropout=0.0, batch_first=True), (2, 3, 4)
    ),
    "TransformerDecoderLayer": run(
        lambda nn: nn.TransformerDecoderLayer(4, 2, 8, 0.0, "gelu", norm_first=True),
        (3, 2, 4), (5, 2, 4),
    ),
    "Transformer": run(
        lambda nn: nn.Transformer(4, 2, 1, 1, 8, dropout=0.0), (3, 2, 4), (5, 2, 4)
    ),
}  # fmt: skip
LAYERS.update({
    name: run(lambda nn, name=name, args=args: getattr(nn, name)(*args), (2, 4, 3))
    for name, args in {
        "ReLU": (), "ReLU6": (), "ELU": (0.5,), "CELU": (0.7,), "SELU": (), "GELU": ("tanh",),
        "SiLU": (), "Mish": (), "Hardswish": (), "Hardsigmoid": (), "Hardtanh": (-0.5, 0.8),
        "LeakyReLU": (0.1,), "PReLU": (4,), "Sigmoid": (), "Tanh": (), "LogSigmoid": (),
        "Softplus": (2.0, 1.0), "Softshrink": (0.3,), "Hardshrink": (0.3,), "Softsign": (),
        "Tanhshrink": (), "Threshold": (0.1, 0.7), "GLU": (1,), "Softmax": (1,), "Softmin": (1,),
        "LogSoftmax": (-1,), "Softmax2d": (),
    }.items()
})  # fmt: skip


@pytest.mark.parametrize("name", LAYERS)
def test_layer(name):
    same(LAYERS[name], rtol=2e-5, atol=2e-5)


def embedding(T):
    T.manual_seed(0)
    m = T.nn.Embedding(5, 3, padding_idx=-1)
    y = m(T.tensor([[0, 4], [1, 1]]))
    (y * y).sum().backward()
    return [repr(m), y, m.weight.grad]


def bag(T):
    table = values(T, 5, 3)
    m = T.nn.EmbeddingBag.from_pretrained(table, mode="sum", freeze=False)
    y = m(T.tensor([0, 1, 2, 2]), T.tensor([0, 1]))
    (y * y).sum().backward()
    return [repr(m), y, m.weight.grad, T.nn.Embedding.from_pretrained(table)(T.tensor([1, 4]))]


def lazy(T):
    T.manual_seed(0)
    m = T.nn.Sequential(T.nn.LazyLinear(3), T.nn.LazyBatchNorm1d())
    before = repr(m)
    y = m(values(T, 4, 5))
    return [before, repr(m), y, dict(m.state_dict())]


def lazy_conv(T):
    T.manual_seed(0)
    m = T.nn.LazyConv2d(3, 2)
    return [m(values(T, 1, 2, 4, 4)), repr(m), m.weight]


def dropout(T):
    T.manual_seed(0)
    m = T.nn.Dropout(0.4)
    return m(T.ones(50))


def packed(T):
    rnn = T.nn.utils.rnn
    found = []
    for m in (T.nn.LSTM(2, 3, batch_first=True, bidirectional=True), T.nn.GRU(2, 3, 2)):
        fill(T, m)
        x = values(T, 3, 4, 2).requires_grad_()
        pack = rnn.pack_padded_sequence(x, [2, 4, 1], batch_first=True, enforce_sorted=False)
        out, state = m(pack)
        padded, lengths = rnn.pad_packed_sequence(out, batch_first=True, padding_value=-1.0)
        padded.sum().backward()
        found.append([padded, lengths, state, x.grad, list(pack)])
    return found


def masks(T):
    m = fill(T, T.nn.MultiheadAttention(4, 2, batch_first=True))
    q, kv = values(T, 2, 3, 4), values(T, 2, 3, 4, seed=1)
    padding = T.tensor([[False, False, True], [False, False, False]])
    causal = T.nn.Transformer.generate_square_subsequent_mask(3)
    return [
        m(q, kv, kv, key_padding_mask=padding),
        m(q, kv, kv, attn_mask=causal, need_weights=False)[0],
        m(q, kv, kv, attn_mask=causal, average_attn_weights=False),
        m(q, q, q, attn_mask=causal, is_causal=True, need_weights=False)[0],
    ]


def adaptive(T):
    T.manual_seed(0)
    m = T.nn.AdaptiveLogSoftmaxWithLoss(8, 10, [3, 6], div_value=2.0)
    x = values(T, 4, 8)
    out = m(x, T.tensor([0, 4, 9, 2]))
    return [out.output, out.loss, m.log_prob(x), m.predict(x), list(m.state_dict())]


SPECIAL = [embedding, bag, lazy, lazy_conv, dropout, packed, masks, adaptive]


@pytest.mark.parametrize("program", SPECIAL)
def test_special(program):
    same(program, rtol=2e-5, atol=2e-5)


ERRORS = {
    "groups": lambda T: T.nn.Conv2d(3, 4, 3, groups=2),
    "padding_mode": lambda T: T.nn.Conv2d(1, 1, 1, padding_mode="nothing"),
    "same stride": lambda T: T.nn.Conv2d(1, 1, 3, padding="same", stride=2),
    "heads": lambda T: T.nn.MultiheadAttention(5, 2),
    "dropout": lambda T: T.nn.Dropout(1.5),
    "batchnorm dim": lambda T: T.nn.BatchNorm1d(3)(T.ones(2, 3, 4, 5)),
    "batchnorm one": lambda T: T.nn.BatchNorm1d(3)(T.ones(1, 3)),
    "groupnorm": lambda T: T.nn.GroupNorm(2, 3),
    "rnn layers": lambda T: T.nn.LSTM(3, 4, 0),
    "rnn input": lambda T: T.nn.LSTM(3, 4)(T.ones(2, 2, 5)),
    "rnn hidden": lambda T: T.nn.GRU(3, 4)(T.ones(2, 2, 3), T.ones(1, 3, 4)),
    "cell": lambda T: T.nn.GRUCell(3, 4)(T.ones(2, 2)),
    "sorted": lambda T: T.nn.utils.rnn.pack_padded_sequence(T.ones(3, 2, 1), [1, 3]),
    "softmax2d": lambda T: T.nn.Softmax2d()(T.ones(2, 2)),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name):
    same_error(ERRORS[name], text=False)
