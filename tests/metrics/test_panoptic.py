"""Panoptic quality against torchmetrics and against a brute-force reading of COCO's published definition."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gridcode.errors import GridcodeError
from gridcode.metrics import PanopticQuality

THINGS = (False, True, True)  # classes 1, 2, 3


def oracle(pairs, classes):
    """(PQ, SQ, RQ) of each class that occurs, by sets of pixels, from Kirillov et al. 2019 and COCO's rules."""
    tp, fp, fn, iou_sum = ([0] * (classes + 1) for _ in range(4))
    for predicted, truth in pairs:
        pixels = list(product(*map(range, truth.shape[1:])))
        void = {p for p in pixels if truth[0][p] == 0}
        true, guessed = {}, {}
        for p in pixels:
            if p not in void:
                true.setdefault((int(truth[0][p]), int(truth[1][p]), bool(truth[2][p])), set()).add(p)
            if predicted[0][p]:
                guessed.setdefault((int(predicted[0][p]), int(predicted[1][p])), set()).add(p)
        matched_true, matched_guessed = set(), set()
        for t, g in product(true, guessed):
            if t[2] or t[0] != g[0]:
                continue
            union = true[t] | (guessed[g] - void)
            overlap = len(true[t] & guessed[g]) / len(union)
            if overlap > 0.5:
                tp[t[0]] += 1
                iou_sum[t[0]] += overlap
                matched_true.add(t)
                matched_guessed.add(g)
        for t in true:
            if t not in matched_true and not t[2]:
                fn[t[0]] += 1
        for g in guessed:
            if g in matched_guessed:
                continue
            crowd = set().union(*(true[t] for t in true if t[2] and t[0] == g[0]))
            if len(guessed[g] & (void | crowd)) / len(guessed[g]) <= 0.5:
                fp[g[0]] += 1
    scores = {}
    for c in range(1, classes + 1):
        if tp[c] + fp[c] + fn[c]:
            sq = iou_sum[c] / tp[c] if tp[c] else 0.0
            rq = tp[c] / (tp[c] + fp[c] / 2 + fn[c] / 2)
            scores[c] = (sq * rq, sq, rq)
    return scores


def batch(maps):
    return torch.from_numpy(np.stack([np.asarray(m) for m in maps])).long()


def check(pairs):
    quality = PanopticQuality(THINGS)
    quality.update(batch([p for p, _ in pairs]), batch([t for _, t in pairs]))
    found, expected = quality.compute(), oracle(pairs, len(THINGS))
    assert found.images == len(pairs)
    for c, one in enumerate(found.per_class, start=1):
        assert one.classes == (c in expected)
        if c in expected:
            assert (one.pq, one.sq, one.rq) == pytest.approx(expected[c])
    for group, members in ((found.all, (1, 2, 3)), (found.things, (2, 3)), (found.stuff, (1,))):
        rows = [expected[c] for c in members if c in expected]
        assert group.classes == len(rows)
        if rows:
            assert (group.pq, group.sq, group.rq) == pytest.approx(tuple(np.mean(rows, axis=0)))
        else:
            assert math.isnan(group.pq)
    return found


def row(*values):
    """A map one pixel high from (class, instance, crowd) triples, repeated: row((1, 1, 0, 4), …)."""
    return np.array([[v[:3] for v in values for _ in range(v[3])]]).transpose(2, 0, 1)


def predicted(*values):
    return row(*((c, i, 0, n) for c, i, n in values))[:2]


@pytest.mark.parametrize(
    ("guess", "truth", "things"),
    [
        pytest.param(predicted((2, 1, 6)), row((2, 1, 0, 6)), (1.0, 1.0, 1.0), id="exact"),
        pytest.param(predicted((2, 1, 3), (0, 0, 3)), row((2, 1, 0, 6)), (0.0, 0.0, 0.0), id="half is no match"),
        pytest.param(predicted((2, 1, 4), (0, 0, 2)), row((2, 1, 0, 6)), (4 / 6, 4 / 6, 1.0), id="over half"),
        pytest.param(predicted((3, 1, 6)), row((2, 1, 0, 6)), (0.0, 0.0, 0.0), id="other class"),
        pytest.param(predicted((0, 0, 6)), row((2, 1, 0, 6)), (0.0, 0.0, 0.0), id="nothing predicted"),
        # Void leaves the union: the prediction of 6 overlaps 4 of 4 pixels that count.
        pytest.param(predicted((2, 1, 6)), row((2, 1, 0, 4), (0, 0, 0, 2)), (1.0, 1.0, 1.0), id="void in the union"),
        pytest.param(predicted((2, 1, 2), (2, 2, 4)), row((2, 1, 0, 2), (0, 0, 0, 4)), (1.0, 1.0, 1.0), id="in void"),
        pytest.param(
            predicted((2, 1, 2), (2, 2, 4)),
            row((2, 1, 0, 2), (0, 0, 0, 2), (1, 1, 0, 2)),
            (2 / 3, 1.0, 2 / 3),
            id="half void",
        ),
        pytest.param(
            predicted((2, 1, 2), (2, 2, 4)), row((2, 1, 0, 2), (2, 2, 1, 4)), (1.0, 1.0, 1.0), id="in a crowd"
        ),
        # A crowd of class 3 excuses no prediction of class 2; that class 3 is missed there is no error either.
        pytest.param(
            predicted((2, 1, 2), (2, 2, 4)), row((2, 1, 0, 2), (3, 1, 1, 4)), (2 / 3, 1.0, 2 / 3), id="other crowd"
        ),
        pytest.param(
            predicted((0, 0, 2), (2, 1, 4)), row((2, 1, 0, 2), (2, 2, 1, 4)), (0.0, 0.0, 0.0), id="only missed"
        ),
        # Void and crowd together are more than half of the unmatched prediction.
        pytest.param(
            predicted((2, 1, 1), (2, 2, 8)),
            row((2, 1, 0, 1), (2, 9, 1, 3), (0, 0, 0, 2), (1, 1, 0, 3)),
            (1.0, 1.0, 1.0),
            id="void and crowd",
        ),
        pytest.param(predicted((2, 1, 1), (2, 2, 5)), row((2, 1, 0, 1), (2, 2, 0, 5)), (1.0, 1.0, 1.0), id="tiny"),
        pytest.param(predicted((2, 1, 6)), row((2, 1, 0, 3), (2, 2, 0, 3)), (0.0, 0.0, 0.0), id="touching, joined"),
        pytest.param(predicted((2, 1, 3), (2, 2, 3)), row((2, 1, 0, 6)), (0.0, 0.0, 0.0), id="split"),
        # One class right, one spuriously predicted: the mean over the two that occur.
        pytest.param(predicted((2, 1, 3), (3, 1, 3)), row((2, 1, 0, 3), (1, 1, 0, 3)), (0.5, 0.5, 0.5), id="spurious"),
    ],
)
def test_corner_cases(guess, truth, things):
    found = check([(guess, truth)]).things
    assert (found.pq, found.sq, found.rq) == pytest.approx(things)


def test_a_crowd_alone_is_no_class():
    found = check([(predicted((0, 0, 4)), row((2, 1, 1, 4)))])
    assert found.all.classes == 0


maps = st.lists(st.integers(0, 3), min_size=12, max_size=12).map(lambda v: np.array(v).reshape(3, 4))
few = st.lists(st.integers(0, 2), min_size=12, max_size=12).map(lambda v: np.array(v).reshape(3, 4))


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.tuples(maps, few, maps, few, st.sets(st.tuples(st.integers(1, 3), st.integers(0, 2)))),
        min_size=1,
        max_size=3,
    )
)
def test_any_small_maps_agree_with_the_oracle(images):
    pairs = []
    for p_class, p_instance, t_class, t_instance, crowds in images:
        crowd = np.array(
            [[(c, i) in crowds for c, i in zip(*r, strict=True)] for r in zip(t_class, t_instance, strict=True)]
        )
        pairs.append((np.stack([p_class, p_instance]), np.stack([t_class, t_instance, crowd.astype(int)])))
    check(pairs)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**31))
def test_large_overlaps_agree_with_the_oracle(seed):
    """Uniform noise rarely matches; here the prediction is the truth with some pixels changed."""
    rng = np.random.default_rng(seed)
    truth = np.stack([rng.integers(0, 4, (2, 2)), rng.integers(0, 3, (2, 2)), rng.random((2, 2)) < 0.2]).astype(int)
    truth = truth.repeat(4, 1).repeat(3, 2)
    guess = np.where(rng.random(truth.shape[1:]) < 0.25, np.roll(truth[:2], 2, 2), truth[:2])
    check([(guess, truth)])


def test_agrees_with_torchmetrics_where_there_is_no_crowd():
    detection = pytest.importorskip("torchmetrics.detection")
    rng = np.random.default_rng(0)
    size, classes = (6, 24, 24), 4
    truth_class = rng.integers(0, classes + 1, (6, 4, 4)).repeat(6, 1).repeat(6, 2)
    truth_instance = rng.integers(0, 3, (6, 4, 4)).repeat(6, 1).repeat(6, 2)
    moved = (rng.random(size) < 0.2) | (rng.random((6, 4, 4)) < 0.4).repeat(6, 1).repeat(6, 2)
    guess_class = np.where(moved, np.roll(truth_class, 6, 2), truth_class)
    guess_instance = np.where(moved, np.roll(truth_instance, 6, 2), truth_instance)
    # Unlike COCO's own code, it also takes unlabelled pixels of a prediction out of the union: let there be none.
    guess_class[guess_class == 0] = 1
    # It joins stuff segments of one class itself, and takes classes that it was not told of for void.
    truth_instance[truth_class <= 2], guess_instance[guess_class <= 2] = 0, 0
    peer = detection.PanopticQuality(
        things={3, 4}, stuffs={1, 2}, allow_unknown_preds_category=True, return_sq_and_rq=True, return_per_class=True
    )
    peer.update(
        torch.from_numpy(np.stack([guess_class, guess_instance], -1)),
        torch.from_numpy(np.stack([truth_class, truth_instance], -1)),
    )
    quality = PanopticQuality([False, False, True, True])
    quality.update(
        torch.from_numpy(np.stack([guess_class, guess_instance], 1)),
        torch.from_numpy(np.stack([truth_class, truth_instance], 1)),
    )
    ours = quality.compute().per_class
    theirs = peer.compute().reshape(4, 3)  # things first
    assert 0.2 < theirs[:, 2].min() < theirs[:, 2].max() < 0.9  # many segments match and many do not
    for row, c in zip(theirs, (3, 4, 1, 2), strict=True):
        assert row.tolist() == pytest.approx([ours[c - 1].pq, ours[c - 1].sq, ours[c - 1].rq])


def test_merged_parts_equal_the_whole():
    rng = np.random.default_rng(1)
    truth = torch.from_numpy(rng.integers(0, 2, (6, 3, 5, 5)))
    guess = torch.where(torch.from_numpy(rng.random((6, 2, 5, 5))) < 0.1, 1, truth[:, :2])
    whole, left, right = (PanopticQuality(THINGS) for _ in range(3))
    whole.update(guess, truth)
    left.update(guess[:2], truth[:2])
    right.update(guess[2:], truth[2:])
    left.merge(right)
    assert left.compute().all == whole.compute().all


def test_ids_may_be_any_and_large():
    truth = torch.tensor([[[[1, 2]], [[10**9, 16_777_215]]]])
    quality = PanopticQuality(THINGS)
    quality.update(truth, truth)
    assert quality.compute().all.pq == 1.0


def test_errors_name_what_was_seen():
    quality = PanopticQuality(THINGS)
    good = torch.zeros(1, 2, 4, 4, dtype=torch.int64)
    with pytest.raises(GridcodeError, match="no image was seen"):
        quality.compute()
    with pytest.raises(GridcodeError, match=r"saw \(1, 2, 4, 4\) and \(1, 2, 4, 5\)"):
        quality.update(good, torch.zeros(1, 2, 4, 5, dtype=torch.int64))
    with pytest.raises(GridcodeError, match=r"integers, not torch\.float32"):
        quality.update(good.float(), good)
    with pytest.raises(GridcodeError, match="classes up to 4, but there are 3 classes"):
        quality.update(good + 4, good)
    with pytest.raises(GridcodeError, match="values from -1"):
        quality.update(good, good - 1)
    with pytest.raises(GridcodeError, match="other classes"):
        quality.merge(PanopticQuality([True]))
    with pytest.raises(GridcodeError, match="no classes"):
        PanopticQuality([])
