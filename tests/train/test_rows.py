"""Passes over rows: in blocks and pieces, in threads or on a device of torch, they say the same."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from headstart.core.errors import InputError
from headstart.train.device import DeviceRows, check_device
from headstart.train.rows import HostRows, Weights, block_rows, each_piece


def problem(*, n=5000, num_features=20, num_classes=7, dtype=np.float64):
    generator = np.random.default_rng(0)
    features = generator.normal(size=(n, num_features)).astype(dtype)
    labels = generator.integers(0, num_classes, size=n)
    weights = Weights(
        coef=generator.normal(size=(num_classes, num_features)).astype(dtype),
        intercept=generator.normal(size=num_classes).astype(dtype),
    )
    return features, labels, weights


def at_once(features, labels, weights):
    """Return cross-entropies and the means of both slopes, as the textbook has them."""
    scores = features @ weights.coef.T + weights.intercept
    logs = scores - np.logaddexp.reduce(scores, axis=1)[:, None]
    errors = np.exp(logs) - np.eye(len(weights.coef))[labels]
    return (
        -logs[np.arange(len(labels)), labels],
        errors.T @ features / len(labels),
        errors.mean(axis=0),
    )


def check(rows, features, labels, weights, *, tolerance):
    entropies, coef, intercept = at_once(features, labels, weights)
    passed = rows.passed(weights)
    assert passed.num_rows == len(labels)
    assert passed.loss / len(labels) == pytest.approx(entropies.mean(), rel=tolerance)
    np.testing.assert_allclose(passed.coef / len(labels), coef, atol=tolerance)
    np.testing.assert_allclose(passed.intercept / len(labels), intercept, atol=tolerance)
    np.testing.assert_allclose(rows.cross_entropies(weights), entropies, rtol=tolerance, atol=tolerance)
    assert passed.coef.dtype == passed.intercept.dtype == rows.dtype == features.dtype


@pytest.mark.parametrize("n", [1, 63, 1025, 40_001])
@pytest.mark.parametrize("num_classes", [2, 7, 300])
def test_blocks_add_up_to_the_whole(n, num_classes):
    features, labels, weights = problem(n=n, num_classes=num_classes)
    check(HostRows(features, labels), features, labels, weights, tolerance=1e-10)


def test_float32_stays_float32():
    features, labels, weights = problem(dtype=np.float32)
    check(HostRows(features, labels), features, labels, weights, tolerance=1e-5)


def test_threads_change_no_bit():
    features, labels, weights = problem(n=20_000, dtype=np.float32)
    alone = HostRows(features, labels).passed(weights)
    with ThreadPoolExecutor(3) as pool:
        together = HostRows(features, labels, pool=pool).passed(weights)
    assert alone.loss == together.loss
    np.testing.assert_array_equal(alone.coef, together.coef)
    np.testing.assert_array_equal(alone.intercept, together.intercept)


def test_a_slice_is_no_copy():
    features, labels, weights = problem()
    part = HostRows(features, labels)[1000:3000]
    assert np.shares_memory(part.features, features)
    check(part, features[1000:3000], labels[1000:3000], weights, tolerance=1e-10)


def test_pieces_are_few_and_cover_all_rows_in_order():
    for n in (1, 1024, 1025, 1_000_003):
        pieces = list(each_piece(lambda piece: piece, n, pool=None))
        assert len(pieces) <= 16
        assert [row for piece in pieces for row in (piece.start, piece.stop)][1:-1] == [
            edge for piece in pieces[1:] for edge in (piece.start, piece.start)
        ]
        assert (pieces[0].start, pieces[-1].stop) == (0, n)


@pytest.mark.parametrize("num_features", [1, 64, 1280, 100_000])
@pytest.mark.parametrize("num_classes", [2, 10_000])
def test_blocks_are_bounded(num_features, num_classes):
    assert 32 <= block_rows(num_features, num_classes) <= 2048


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_device_says_what_the_host_says(dtype, monkeypatch):
    monkeypatch.setattr("headstart.train.device.NUM_VALUES", 700)  # so that there are many blocks
    features, labels, weights = problem(dtype=dtype)
    rows = DeviceRows.sent(features, labels, device=torch.device("cpu"))
    tolerance = 1e-5 if dtype == np.float32 else 1e-10
    check(rows, features, labels, weights, tolerance=tolerance)
    check(rows[100:900], features[100:900], labels[100:900], weights, tolerance=tolerance)
    some = np.array([5, 17, 4000])
    check(rows[some], features[some], labels[some], weights, tolerance=tolerance)


@pytest.mark.parametrize("device", ["gpu", "", "cuda:99", "meta", 1.5, None])
def test_refuses_a_device_that_is_not_there(device):
    with pytest.raises(InputError, match="was given, expected one that torch can use here") as caught:
        check_device(device, dtype=np.float32)
    assert caught.value.hint


@pytest.mark.parametrize("cut", [1, 63, 2500, 4999])
def test_passes_over_parts_add_up_in_any_order(cut):
    features, labels, weights = problem()
    whole = HostRows(features, labels).passed(weights)
    first, last = HostRows(features, labels)[:cut], HostRows(features, labels)[cut:]
    for one, other in [(first, last), (last, first)]:
        added = one.passed(weights) + other.passed(weights)
        assert added.num_rows == whole.num_rows
        assert added.loss == pytest.approx(whole.loss, rel=1e-12)
        np.testing.assert_allclose(added.coef, whole.coef, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(added.intercept, whole.intercept, rtol=1e-9, atol=1e-9)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
def test_what_does_not_fit_on_a_gpu_is_sent_for_every_pass(monkeypatch):
    monkeypatch.setattr("headstart.train.device.NUM_VALUES", 20_000)
    features, labels, weights = problem(dtype=np.float32)
    device = torch.device("cuda")
    held = DeviceRows.sent(features, labels, device=device)
    monkeypatch.setattr("headstart.train.device.MAX_SHARE", 0.0)
    sent = DeviceRows.sent(features, labels, device=device)
    assert (held.features.device.type, sent.features.device.type) == ("cuda", "cpu")
    for one, other in [(held, sent), (held[100:900], sent[100:900])]:
        np.testing.assert_array_equal(one.passed(weights).coef, other.passed(weights).coef)
        np.testing.assert_array_equal(one.cross_entropies(weights), other.cross_entropies(weights))
