"""A whole comparison with a validation part and a locked test set: record, folder, trained model."""

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.special import softmax

import headstart as hs
from headstart.compare import Comparison, compare, load_comparison
from headstart.compare.final import FinalPredictions, find_rejection
from headstart.compare.records import Protocol
from headstart.compare.rejection_words import familiarity_sentence, rejection_sentence
from headstart.core.errors import StorageError
from headstart.data import Splits, dataset_from_arrays
from headstart.embed import PlanOptions
from headstart.evaluate import choose_rejection, evaluate, kept_share
from headstart.predict import predict

EXACT = PlanOptions(device="cpu", plan="exact")


def test_rows_are_ranked_and_the_first_is_chosen(finished: Comparison, tiny_models: tuple[str, str]) -> None:
    values = [row.validation.accuracy.value for row in finished.rows if row.validation]
    assert len(values) == 2
    assert values == sorted(values, reverse=True)
    best, other = finished.rows
    assert finished.chosen == best.name
    assert best.name in tiny_models
    assert best.behind_best is None
    assert best.tied
    assert other.behind_best is not None
    assert other.behind_best.value == pytest.approx(values[0] - values[1])
    assert other.tied == (other.behind_best.low <= 0)
    for row in finished.rows:
        assert row.validation is not None
        assert row.validation.n == 54
        assert (row.resolution, row.error, row.entry.name if row.entry else "") == (64, "", row.model)
        assert row.cost is not None
        assert row.cost.latency_ms > 0
        assert row.cost.num_params > 100_000
        assert row.cost.pictures_per_second is not None
        assert row.regularization is not None
        assert row.plan.startswith("exact plan: fp32 on cpu")
        assert row.feature_dim > 0


def test_the_chosen_one_and_the_reference_are_looked_at_once(
    finished: Comparison, tiny_models: tuple[str, str]
) -> None:
    assert finished.reference == tiny_models[1] != finished.chosen
    assert [(look.model, look.role) for look in finished.looks] == [
        (finished.chosen, "chosen"),
        (finished.reference, "reference"),
    ]
    assert finished.final == finished.looks[0].evaluation
    assert finished.final is not None
    assert finished.final.n == 54


def test_a_chosen_reference_is_looked_at_once(
    finished: Comparison, tiny_models: tuple[str, str], holdout: Splits, tmp_path: Path, options
) -> None:
    again = compare(
        tiny_models, holdout, out=tmp_path / "run", options=replace(options, reference=finished.chosen)
    )
    assert [(look.model, look.role) for look in again.looks] == [(finished.chosen, "chosen")]


def test_the_record_says_how_it_was_done(
    finished: Comparison, holdout: Splits, tiny_models: tuple[str, str]
) -> None:
    assert finished.protocol == Protocol(
        selection="holdout",
        estimate="locked test",
        num_train=162,
        num_validation=54,
        num_test=54,
        num_folds=0,
        num_repeats=0,
        given_splits=True,
        seed=0,
    )
    assert finished.class_names == ("cross", "disc", "square")
    assert finished.class_counts == (90, 90, 90)
    assert {"python", "headstart", "torch", "timm", "scikit-learn"} <= finished.versions.keys()
    assert finished.digests.keys() == {"settings", "pictures", *tiny_models}
    assert all(len(digest) == 64 for digest in finished.digests.values())
    assert finished.digests["pictures"] == finished.fingerprint
    assert len(set(finished.digests.values())) == 4
    assert finished.command == "headstart compare shapes"
    assert finished.dataset_name == "shapes"
    assert "/" not in finished.dataset_location
    decisions = "\n".join(finished.decisions)
    assert decisions.index("reference, named before any evidence") == 0
    assert decisions.index("chosen: ") < decisions.index("look 1 at the test set")
    assert f"look 2 at the test set: {finished.reference} (reference)" in finished.decisions


def test_the_confusion_and_the_mistakes_are_those_of_the_test_set(
    finished: Comparison, holdout: Splits
) -> None:
    counts = np.array(finished.confusion)
    assert holdout.test is not None
    assert counts.sum() == len(holdout.test) == 54
    assert counts.sum(axis=1).tolist() == holdout.test.class_counts().tolist()
    assert finished.final is not None
    assert counts.trace() / 54 == finished.final.accuracy.value
    confidences = [each.probability for each in finished.mistakes]
    assert len(confidences) == min(24, 54 - counts.trace()) > 0
    assert confidences == sorted(confidences, reverse=True)
    labels = dict(zip(holdout.test.ids, holdout.test.labels, strict=True))
    for each in finished.mistakes:
        assert each.true_class == finished.class_names[labels[each.id]] != each.predicted_class
        assert each.true_probability <= each.probability


def test_the_thumbnails_are_small_jpegs_without_metadata(finished: Comparison) -> None:
    assert finished.folder is not None
    shown = [*(each.thumbnail for each in finished.mistakes), *(each.heat_map for each in finished.mistakes)]
    shown += [each.thumbnail for each in (*finished.near_ties, *finished.doubted_labels)]
    shown += [each for group in finished.alike for each in group.thumbnails]
    for path in shown:
        assert not Path(path).is_absolute()
        data = (finished.folder / path).read_bytes()
        image = Image.open(io.BytesIO(data))
        assert (image.format, max(image.size)) == ("JPEG", 320)
        assert set(image.info) <= {"jfif", "jfif_version", "jfif_unit", "jfif_density"}


def test_near_ties_are_the_closest_of_the_test_pictures(finished: Comparison, holdout: Splits) -> None:
    assert holdout.test is not None
    gaps = [first - second for first, second in (each.probabilities for each in finished.near_ties)]
    assert gaps == sorted(gaps)
    assert all(0 <= gap <= 0.2 for gap in gaps)
    assert {each.id for each in finished.near_ties} <= set(holdout.test.ids)
    assert all(each.classes[0] != each.classes[1] for each in finished.near_ties)


def test_the_calibration_is_that_of_the_test_set(finished: Comparison) -> None:
    calibration = finished.calibration
    assert calibration is not None
    assert finished.final is not None
    assert calibration.is_fresh
    assert calibration.error_after == pytest.approx(finished.final.calibration_error.value, abs=1e-6)
    for bins in (calibration.before, calibration.after):
        assert sum(each.accuracy.n for each in bins) == 54
        right = sum(each.accuracy.value * each.accuracy.n for each in bins) / 54
        assert right == pytest.approx(finished.final.accuracy.value)
        assert [each.confidence for each in bins] == sorted(each.confidence for each in bins)


def test_the_folder_holds_it_all(finished: Comparison) -> None:
    folder = finished.folder
    assert folder is not None
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    expected = {"settings.json", "comparison.json", "run.log", "model/model.safetensors"}
    assert expected | {"model/headstart.json", "model/README.md"} <= names
    assert sum(name.startswith("candidates/") for name in names) == 4
    assert not [name for name in names if name.endswith(".part")]
    log = (folder / "run.log").read_text(encoding="utf-8").splitlines()
    assert [line.split(" ", 1)[1] for line in log] == list(finished.decisions)
    assert load_comparison(folder) == finished


def test_the_saved_model_predicts_as_it_was_scored(
    finished: Comparison, holdout: Splits, shapes: Path
) -> None:
    classifier = finished.load_best()
    assert holdout.test is not None
    assert finished.final is not None
    files = [shapes / each for each in holdout.test.ids]
    rows = list(predict(classifier, files, threshold=None, options=EXACT))
    truth = [holdout.test.class_names[label] for label in holdout.test.labels]
    right = [row.label == name for row, name in zip(rows, truth, strict=True)]
    assert np.mean(right) == finished.final.accuracy.value
    said = {str(Path(row.path).relative_to(shapes)): row for row in rows}
    for each in finished.mistakes:
        assert said[each.id].label == each.predicted_class
        assert said[each.id].probability == pytest.approx(each.probability, abs=1e-5)
    log_loss = np.mean(
        [-np.log(row.probabilities[label]) for row, label in zip(rows, holdout.test.labels, strict=True)]
    )
    assert log_loss == pytest.approx(finished.final.log_loss.value, abs=1e-4)
    assert classifier.preprocessing == finished.preprocessing
    assert classifier.temperature == finished.temperature


def test_the_head_was_fitted_on_train_and_validation_pictures(
    finished: Comparison, holdout: Splits, own_home: Path
) -> None:
    from headstart.data.dataset import concatenate
    from headstart.embed import embed
    from headstart.train import LinearProbe

    classifier = finished.load_best()
    assert holdout.val is not None
    everything = concatenate([holdout.train, holdout.val])
    embedded = embed(classifier, everything, options=EXACT)
    strength = finished.rows[0].regularization  # chosen on the training part, as the ranking was made with it
    probe = LinearProbe(strengths=[strength], seed=0).fit(embedded.rows(everything.ids), everything.labels)
    assert classifier.head is not None
    weight, bias = (each.detach().numpy() for each in (classifier.head.weight, classifier.head.bias))
    rows = embedded.rows(everything.ids)
    own = softmax(rows @ weight.T + bias, axis=1)
    assert np.allclose(own, probe.predict_proba(rows), atol=0.004)  # it began elsewhere
    part = LinearProbe(strengths=[strength], seed=0).fit(
        embedded.rows(holdout.train.ids), holdout.train.labels
    )
    assert not np.allclose(own, part.predict_proba(rows), atol=0.004)


def test_a_threshold_for_unknown_is_looked_for_on_validation_pictures(finished: Comparison) -> None:
    found, best = finished.rejection, finished.rows[0]
    assert found is not None
    assert best.validation is not None
    assert found.target == pytest.approx((1 + best.validation.accuracy.value) / 2)
    assert found.curve[-1].coverage.value == 1
    assert found.curve[-1].accuracy.value == pytest.approx(best.validation.accuracy.value)
    assert found.curve[-1].accuracy.n == 54
    assert finished.load_best().threshold == found.threshold
    assert finished.folder is not None
    record = json.loads((finished.folder / "model" / "headstart.json").read_text(encoding="utf-8"))
    assert record["calibration"] == {"temperature": finished.temperature, "threshold": found.threshold}
    said = rejection_sentence(found)
    assert said in finished.decisions
    assert said in (finished.folder / "model" / "README.md").read_text(encoding="utf-8")


def test_the_threshold_is_one_for_calibrated_probabilities(finished: Comparison) -> None:
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 3, 4000)
    logits = generator.normal(size=(4000, 3)) + 3 * np.eye(3)[labels]
    raw = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    classifier = finished.load_best().with_temperature(2.0)
    validation, test = raw[:2000], np.exp(logits[2000:] / 2)
    test /= test.sum(axis=1, keepdims=True)
    tested = FinalPredictions(
        dataset=dataset_from_arrays(np.zeros((2000, 2, 2), np.uint8), labels[2000:]),
        probabilities=test[None].astype(np.float32),
        evaluation=evaluate(test, labels[2000:], seed=0),
    )
    found = find_rejection(classifier, labels[:2000], validation[None].astype(np.float32), tested)
    cool = np.exp(logits[:2000] / 2)
    cool /= cool.sum(axis=1, keepdims=True)
    assert found.threshold == pytest.approx(choose_rejection(labels[:2000], cool[None]).threshold, abs=2e-4)
    assert found.threshold is not None
    assert found.tested == kept_share(labels[2000:], tested.probabilities[0], found.threshold)
    assert found.tested is not None
    assert found.tested.accuracy.high > found.target  # pictures that had no say bear it out
    for each, words in ((found, "Of the test pictures"), (replace(found, tested=None), "Of the validation")):
        assert words in rejection_sentence(each)
    assert "too few" in rejection_sentence(replace(found, kept=None))


def test_the_saved_model_knows_its_training_pictures(
    finished: Comparison, holdout: Splits, shapes: Path
) -> None:
    classifier = finished.load_best()
    known = classifier.familiarity
    assert known is not None
    assert holdout.val is not None
    assert (known.num_held_out, known.num_beyond) == (len(holdout.train) + len(holdout.val), 2)
    assert familiarity_sentence(known) in finished.decisions
    assert "too few" in familiarity_sentence(None)
    rows = list(predict(classifier, [shapes / each for each in holdout.test.ids], options=EXACT))  # type: ignore[union-attr]
    assert sum(bool(row.is_unlike) for row in rows) <= 4


def test_it_prints_as_a_table(finished: Comparison) -> None:
    lines = str(finished).splitlines()
    assert lines[0].split() == ["model", "validation", "accuracy", "tied"]
    assert [line.split()[0] for line in lines[1:3]] == [row.name for row in finished.rows]
    assert lines[1].endswith("yes")
    assert lines[-1] == finished.reason
    failed = replace(finished.rows[1], validation=None, error="no network")
    assert "failed: no network" in str(replace(finished, rows=(finished.rows[0], failed)))


def test_a_comparison_without_a_folder_has_no_model(finished: Comparison) -> None:
    with pytest.raises(StorageError):
        replace(finished, folder=None).load_best()
    assert isinstance(hs.load(str(finished.folder / "model")), hs.Classifier) if finished.folder else False
