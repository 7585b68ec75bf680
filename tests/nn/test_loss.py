"""Every loss, in its reductions."""

import pytest
from programs import same, values

LOSSES = {
    "L1Loss": {}, "MSELoss": {}, "SmoothL1Loss": {"beta": 0.5}, "HuberLoss": {"delta": 0.7},
    "SoftMarginLoss": {}, "BCEWithLogitsLoss": {}, "HingeEmbeddingLoss": {"margin": 0.5},
    "KLDivLoss": {"log_target": True}, "PoissonNLLLoss": {"full": True},
    "MultiLabelSoftMarginLoss": {},
}  # fmt: skip


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("name", LOSSES)
def test_pointwise(name, reduction):
    def program(T):
        m = getattr(T.nn, name)(reduction=reduction, **LOSSES[name])
        x, y = values(T, 4, 3).requires_grad_(), values(T, 4, 3, seed=1).sigmoid()
        loss = m(x, y)
        loss.sum().backward()
        return [repr(m), loss, x.grad]

    same(program, rtol=1e-5, atol=1e-6)


CLASSES = {
    "NLLLoss": lambda nn, w: nn.NLLLoss(weight=w, ignore_index=2),
    "CrossEntropyLoss": lambda nn, w: nn.CrossEntropyLoss(weight=w, label_smoothing=0.1),
    "CrossEntropyLoss none": lambda nn, w: nn.CrossEntropyLoss(reduction="none"),
    "MultiMarginLoss": lambda nn, w: nn.MultiMarginLoss(margin=0.5, weight=w),
}


@pytest.mark.parametrize("name", CLASSES)
def test_classes(name):
    def program(T):
        m = CLASSES[name](T.nn, T.tensor([1.0, 2.0, 0.5]))
        x = values(T, 4, 3).requires_grad_()
        loss = m(x.log_softmax(1), T.tensor([0, 2, 1, 1]))
        loss.sum().backward()
        return [loss, x.grad, list(m.state_dict())]

    same(program, rtol=1e-5, atol=1e-6)


def triplet(T):
    a, p, n = (values(T, 4, 3, seed=i) for i in range(3))
    return [
        T.nn.TripletMarginLoss(swap=True)(a, p, n),
        T.nn.TripletMarginWithDistanceLoss(margin=0.5)(a, p, n),
        T.nn.CosineEmbeddingLoss(0.2)(a, p, T.tensor([1.0, -1.0, 1.0, -1.0])),
        T.nn.MarginRankingLoss(0.3)(a[:, 0], p[:, 0], T.tensor([1.0, -1.0, 1.0, -1.0])),
        T.nn.GaussianNLLLoss()(a, p, n.abs()),
        T.nn.BCELoss()(a.sigmoid(), p.sigmoid()),
        T.nn.L1Loss(size_average=False)(a, p),
    ]


@pytest.mark.filterwarnings("ignore")
def test_others():
    same(triplet, rtol=1e-5, atol=1e-6)
