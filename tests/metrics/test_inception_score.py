from __future__ import annotations

import math
import warnings

import pytest
import torch
from torch import nn

from gridcode.errors import GridcodeError
from gridcode.metrics import inception_score


@pytest.mark.parametrize(("count", "parts"), [(60, 10), (47, 3)])
def test_score_matches_torchmetrics(count: int, parts: int) -> None:
    module = pytest.importorskip("torchmetrics.image.inception")
    logits = 3 * torch.randn(count, 10, generator=torch.Generator().manual_seed(0))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        metric = module.InceptionScore(nn.Identity(), splits=parts)
    metric.update(logits)
    with torch.random.fork_rng():
        torch.manual_seed(5)
        expected = metric.compute()[0].item()
        torch.manual_seed(5)
        mixed = logits[torch.randperm(count)]
    assert inception_score(mixed, part_size=math.ceil(count / parts)) == pytest.approx(expected, rel=1e-5)


def test_classes_that_no_sample_has_add_nothing() -> None:
    logits = torch.full((6, 5), -1e4)
    logits[range(6), [0, 1, 2, 0, 1, 2]] = 0.0
    assert inception_score(logits) == pytest.approx(3.0)


def test_refusals() -> None:
    with pytest.raises(GridcodeError, match="logits are NaN or infinite"):
        inception_score(torch.full((4, 3), torch.nan))
    for logits, size in ((torch.zeros(0, 3), 5), (torch.zeros(3), 5), (torch.zeros(3, 3), 0)):
        with pytest.raises(GridcodeError, match="Inception score: needs logits"):
            inception_score(logits, part_size=size)
