"""What the service says of pictures is what `predict` says of them."""

import asyncio
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
from PIL import Image
from running_service import Running, encoded, in_base64

from headstart.embed import PlanOptions
from headstart.models import Classifier
from headstart.models.familiarity import Familiarity
from headstart.predict import predict
from headstart.serve import Limits

# Held to the same plan on the same decoder, with batches of another size: roundings are left.
CLOSE = 1e-5


def offline(classifier: Classifier, raws: list[bytes], folder: Path) -> list[Any]:
    paths = [folder / f"{place}.picture" for place in range(len(raws))]
    for path, raw in zip(paths, raws, strict=True):
        path.write_bytes(raw)
    return list(predict(classifier, paths, options=PlanOptions(precision="fp32")))


def assert_same(found: list[dict[str, Any]], expected: list[Any], class_names: tuple[str, ...]) -> None:
    assert len(found) == len(expected)
    for answer, row in zip(found, expected, strict=True):
        given = {each["label"]: each["probability"] for each in answer["top"]}
        assert answer["label"] == answer["top"][0]["label"]
        assert given[row.label] == pytest.approx(row.probability, abs=CLOSE)
        for label, probability in given.items():
            assert probability == pytest.approx(row.probabilities[class_names.index(label)], abs=CLOSE)
        assert answer["probability"] >= row.probability - CLOSE


def test_a_form_and_json_give_what_predict_gives(
    client: httpx2.Client, classifier: Classifier, tmp_path: Path
) -> None:
    kinds = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")
    raws = [encoded(seed, kind=kind) for seed, kind in enumerate(kinds)]
    expected = offline(classifier, raws, tmp_path)
    form = client.post("/predict?top=7", files=[("f", (f"{n}.x", raw)) for n, raw in enumerate(raws)])
    pictures = [{"name": f"{n}.x", "data": in_base64(raw)} for n, raw in enumerate(raws)]
    json = client.post("/predict?top=7", json={"pictures": pictures})
    for response in (form, json):
        assert response.status_code == 200
        predictions = response.json()["predictions"]
        assert [each["name"] for each in predictions] == [f"{n}.x" for n in range(len(raws))]
        assert_same(predictions, expected, classifier.class_names)


def test_many_requests_at_once_get_their_own_answers(
    service: Running, classifier: Classifier, tmp_path: Path
) -> None:
    raws = [encoded(seed, size=(40 + seed, 50)) for seed in range(40)]
    expected = offline(classifier, raws, tmp_path)

    async def ask_all() -> list[dict[str, Any]]:
        limits = httpx2.Limits(max_connections=20)
        async with httpx2.AsyncClient(base_url=service.address, limits=limits, timeout=30) as client:
            responses = await asyncio.gather(
                *(client.post("/predict?top=7", files={"f": ("x", raw)}) for raw in raws)
            )
        return [response.json()["predictions"][0] for response in responses]

    assert_same(asyncio.run(ask_all()), expected, classifier.class_names)
    with service.client() as client:
        metrics = client.get("/metrics").text
    batches = float(metrics.split("headstart_batch_pictures_count ")[1].split()[0])
    pictures = float(metrics.split("headstart_batch_pictures_sum ")[1].split()[0])
    assert pictures / batches > 1.5  # they went through the network together


def test_an_unreadable_picture_among_others_is_a_row(client: httpx2.Client) -> None:
    files = [("f", ("good.jpg", encoded())), ("f", ("bad.jpg", encoded()[:400])), ("f", ("empty.jpg", b""))]
    rows = client.post("/predict", files=files).json()["predictions"]
    assert [bool(row["label"]) for row in rows] == [True, False, False]
    assert "truncated" in rows[1]["error"]
    assert rows[1]["hint"]
    assert "empty" in rows[2]["error"]


def test_top_says_how_many_classes_are_named(client: httpx2.Client) -> None:
    def named(top: str) -> int:
        return len(client.post(f"/predict?top={top}", files={"f": encoded()}).json()["predictions"][0]["top"])

    assert [named(top) for top in ("1", "3", "1000")] == [1, 3, 7]
    response = client.post("/predict?top=0", files={"f": encoded()})
    assert response.status_code == 422
    assert "top" in response.json()["error"]


def test_names_come_back_as_they_were_sent(client: httpx2.Client) -> None:
    names = ["<b>x</b>.jpg", "../../etc/passwd", "http://127.0.0.1/x.jpg", "Blüte 花.jpg"]
    pictures = [{"name": name, "data": in_base64(encoded())} for name in names]
    rows = client.post("/predict", json={"pictures": pictures}).json()["predictions"]
    assert [row["name"] for row in rows] == names


def test_a_picture_is_turned_upright(client: httpx2.Client) -> None:
    pixels = np.zeros((60, 80, 3), np.uint8)
    pixels[:30] = 250
    plain, turned = io.BytesIO(), io.BytesIO()
    Image.fromarray(pixels).save(plain, "PNG")
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels).transpose(Image.Transpose.ROTATE_90).save(turned, "PNG", exif=exif)
    files = [("f", plain.getvalue()), ("f", turned.getvalue())]
    first, second = client.post("/predict", files=files).json()["predictions"]
    assert first["probability"] == pytest.approx(second["probability"], abs=CLOSE)


def test_an_exact_plan_gives_exact_answers(
    start: Callable[..., Running], classifier: Classifier, tmp_path: Path
) -> None:
    service = start(options=PlanOptions(plan="exact"))
    raw = encoded(3, size=(300, 200))
    row = next(iter(offline_exact(classifier, raw, tmp_path)))
    with service.client() as client:
        answer = client.post("/predict", files={"f": raw}).json()["predictions"][0]
    assert answer["probability"] == pytest.approx(row.probability, abs=1e-6)


def offline_exact(classifier: Classifier, raw: bytes, folder: Path) -> Any:
    (folder / "one.jpg").write_bytes(raw)
    return predict(classifier, folder / "one.jpg", options=PlanOptions(plan="exact"))


def test_below_the_threshold_the_answer_is_unknown(
    start: Callable[..., Running], classifier: Classifier, tmp_path: Path
) -> None:
    raw = encoded(4)
    row = offline(classifier, [raw], tmp_path)[0]
    for threshold, is_unknown in ((row.probability + 0.01, True), (row.probability - 0.01, False)):
        with_threshold = classifier.with_preprocessing(classifier.preprocessing)
        with_threshold.threshold = threshold
        with start(classifier=with_threshold).client() as client:
            answer = client.post("/predict", files={"f": raw}).json()["predictions"][0]
            assert client.get("/model").json()["threshold"] == threshold
        assert answer["unknown"] == is_unknown
        assert (answer["label"], answer["best"]) == ("unknown" if is_unknown else row.label, row.label)
        assert answer["probability"] == pytest.approx(row.probability, abs=CLOSE)


def test_what_is_unlike_the_training_pictures_is_called_so(
    start: Callable[..., Running], classifier: Classifier, tmp_path: Path
) -> None:
    raw = encoded(5)
    for limit, is_unlike in ((-1.0, True), (1e9, False)):
        trained = classifier.with_preprocessing(classifier.preprocessing)
        trained.familiarity = Familiarity(
            mean=np.zeros(classifier.feature_dim, np.float32),
            axes=np.eye(1, classifier.feature_dim, dtype=np.float32),
            limit=limit,
            num_held_out=99,
            num_beyond=1,
        )
        assert offline(trained, [raw], tmp_path)[0].is_unlike == is_unlike
        with start(classifier=trained).client() as client:
            answer = client.post("/predict", files={"f": raw}).json()["predictions"][0]
            assert client.get("/model").json()["false_alarm_rate"] == 0.01
        assert answer["unlike"] == is_unlike


def test_an_idle_service_does_not_wait_for_nobody(start: Callable[..., Running]) -> None:
    service = start(limits=Limits(max_wait_ms=5000.0))
    with service.client() as client:
        response = client.post("/predict", files={"f": encoded()})
    assert response.elapsed.total_seconds() < 2
