"""Connectionist temporal classification against PyTorch."""

from __future__ import annotations

import numpy as np
import pytest
from oracle import check_error, check_program

rng = np.random.default_rng(2)
SCORES = rng.standard_normal((12, 3, 6))
PADDED = np.array([[1, 2, 2, 5, 3], [4, 4, 4, 1, 1], [5, 1, 2, 3, 4]])
LENGTHS = [(12, 5), (10, 4), (7, 0)]
F = "nn.functional."


def loss(torch, scores=SCORES, targets=PADDED, lengths=LENGTHS, as_tensors=True, **options):
    """The loss and its gradient, of one batch."""
    x = torch.tensor(scores).requires_grad_()
    inputs, outputs = zip(*lengths)
    if as_tensors:
        inputs, outputs = torch.tensor(inputs), torch.tensor(outputs)
    made = torch.nn.functional.ctc_loss(
        x.log_softmax(-1), torch.tensor(targets), inputs, outputs, **options
    )
    made.sum().backward()
    return made, x.grad


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize("as_tensors", [True, False])
def test_padded(reduction, as_tensors):
    check_program(lambda torch: [loss(torch, reduction=reduction, as_tensors=as_tensors)])


def test_concatenated_and_blank():
    flat = np.concatenate([row[:n] for row, (_, n) in zip(PADDED, LENGTHS, strict=True)])
    check_program(lambda torch: [loss(torch, targets=flat)])
    check_program(lambda torch: [loss(torch, targets=PADDED - 1, blank=5)])
    check_program(lambda torch: [loss(torch, scores=SCORES.astype(np.float32))])


def test_impossible_targets():
    """Fewer steps than labels (and than repeated labels with a blank between them)."""
    short = [(4, 5), (6, 4), (6, 3)]
    check_program(lambda torch: [loss(torch, lengths=short, reduction="none")[0]])
    check_program(lambda torch: [loss(torch, lengths=short, zero_infinity=True)])


def test_without_batch_and_module():
    def program(torch):
        x = torch.tensor(SCORES[:, 0]).log_softmax(-1).requires_grad_()
        made = torch.nn.functional.ctc_loss(
            x, torch.tensor(PADDED[0]), torch.tensor(12), torch.tensor(5)
        )
        made.backward()
        yield made, x.grad
        module = torch.nn.CTCLoss(blank=0, zero_infinity=True)
        yield module(torch.tensor(SCORES).log_softmax(-1), torch.tensor(PADDED), (12, 12, 12),
                     (5, 5, 5))

    check_program(program)


def test_errors():
    x = np.log(np.full((5, 2, 4), 0.25))
    y = np.ones((2, 3), np.int64)
    check_error(F + "ctc_loss", x, y, [5, 6], [3, 3])
    check_error(F + "ctc_loss", x, y, [5, 5], [3, 4])
    check_error(F + "ctc_loss", x, y, [5], [3])
    check_error(F + "ctc_loss", x, y, [5, 5], [3, 3], blank=4)
