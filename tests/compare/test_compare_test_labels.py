"""The proof that the choice does not depend on the test set: its labels are changed, or must not be read."""

import importlib
import inspect
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
from safetensors.numpy import load_file

from headstart.compare import CompareOptions, Comparison, compare
from headstart.compare.candidates import find_entries, list_candidates
from headstart.compare.choice import choose
from headstart.compare.evidence import embed_pictures, gather, load_candidate
from headstart.compare.final import look_at_test, train_final
from headstart.core.progress import SILENT
from headstart.data import Splits
from headstart.embed import PixelStore

race = importlib.import_module("headstart.compare.run")


class Locked:
    """Labels that no one may read."""

    def _refuse(self, *_: object) -> NoReturn:
        raise AssertionError("a test label was read")

    __array__ = __getitem__ = __iter__ = __len__ = __eq__ = __getattr__ = _refuse  # type: ignore[assignment]
    __hash__ = None  # type: ignore[assignment]


def test_other_test_labels_change_the_looks_and_nothing_else(
    finished: Comparison,
    tiny_models: tuple[str, str],
    holdout: Splits,
    tmp_path: Path,
    options: CompareOptions,
) -> None:
    assert holdout.test is not None
    permuted = np.random.default_rng(1).permutation(holdout.test.labels)
    assert (permuted != holdout.test.labels).sum() > 20
    changed = replace(holdout, test=replace(holdout.test, labels=permuted))
    other = compare(
        tiny_models, changed, out=tmp_path / "run", options=replace(options, reference=finished.reference)
    )
    assert [replace(row, cost=None) for row in other.rows] == [
        replace(row, cost=None) for row in finished.rows
    ]
    assert (other.chosen, other.reason) == (finished.chosen, finished.reason)
    assert (other.temperature, other.preprocessing) == (finished.temperature, finished.preprocessing)
    assert finished.folder is not None
    assert other.folder is not None
    file = Path("model") / "model.safetensors"
    first, second = load_file(finished.folder / file), load_file(other.folder / file)
    assert first.keys() == second.keys()
    assert all(np.array_equal(first[name], second[name]) for name in first)
    assert finished.final is not None
    assert other.final is not None
    assert other.final.accuracy.value < finished.final.accuracy.value
    assert other.looks != finished.looks


def test_evidence_and_training_do_not_read_them(
    tiny_models: tuple[str, str], holdout: Splits, options: CompareOptions
) -> None:
    (candidate,) = list_candidates(find_entries(tiny_models[:1]).entries, options)
    sides = np.full(4, 48, np.int64)
    store = PixelStore((), decoder="exact")
    assert holdout.test is not None
    assert holdout.val is not None
    classifier = load_candidate(candidate, holdout.train, sides, store=store, progress=SILENT)
    parts = [holdout.train, holdout.val, holdout.test]
    embedded = embed_pictures(classifier, parts, options=options, store=store, progress=SILENT)
    poisoned = replace(holdout, test=replace(holdout.test, labels=Locked()))  # type: ignore[arg-type]
    evidence = gather(candidate, embedded, poisoned, seed=0, progress=SILENT)
    choose([evidence], holdout.val.labels, seed=0)
    classifier = train_final(embedded, poisoned, evidence.probabilities, seed=0)
    assert poisoned.test is not None
    with pytest.raises(AssertionError, match="a test label was read"):  # the lock holds
        look_at_test(classifier, embedded, poisoned.test, seed=0)


def test_the_functions_that_choose_are_not_even_given_them(
    tiny_models: tuple[str, str],
    holdout: Splits,
    tmp_path: Path,
    options: CompareOptions,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given: list[tuple[str, Any]] = []

    def spy(name: str) -> None:
        function = getattr(race, name)
        signature = inspect.signature(function)

        def watched(*args: Any, **keywords: Any) -> Any:
            given.append((name, signature.bind(*args, **keywords).arguments))
            return function(*args, **keywords)

        monkeypatch.setattr(race, name, watched)

    steps = ["gather", "observe", "choose", "train_final", "look_at_test", "advise"]
    for name in steps:
        spy(name)
    compare(tiny_models[:1], holdout, out=tmp_path / "run", options=options)
    assert [name for name, _ in given] == steps
    arguments = dict(given)
    assert arguments["gather"]["splits"].test is None
    for name in ("observe", "train_final", "advise"):
        assert arguments[name]["splits"].test is None
    expected = {"evidence", "labels", "train_labels", "metric", "folds", "seed"}
    assert arguments["choose"].keys() == expected
    assert arguments["choose"]["train_labels"] is holdout.train.labels
    assert holdout.val is not None
    assert arguments["choose"]["labels"] is holdout.val.labels
    assert arguments["look_at_test"]["test"] is holdout.test
    chosen = arguments["choose"]["evidence"][0]  # the final fit begins at the head of the training part
    assert arguments["train_final"]["start"] is chosen.head is not None
