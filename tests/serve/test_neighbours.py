"""Training pictures beside a new one, over HTTP: the nearest first, and only where the model keeps some."""

import base64
from collections.abc import Callable

import httpx2
import pytest
from running_service import Running, assert_refused, encoded

from headstart.models import Classifier
from headstart.models.neighbours import Neighbours


@pytest.mark.parametrize("seed", range(4))
def test_a_training_picture_is_most_like_itself(
    start: Callable[..., Running], neighbours: Neighbours, classifier: Classifier, seed: int
) -> None:
    raw = encoded(seed, size=(320, 240))
    with start(neighbours=neighbours).client() as client:
        assert client.get("/model").json()["keeps_neighbours"] is True
        found = client.post("/neighbours?k=3", files={"f": raw}).json()["neighbours"]
    assert len(found) == 3
    distances = [each["distance"] for each in found]
    assert distances == sorted(distances)
    assert distances[0] < 0.02 < distances[1]  # kept in half precision
    assert found[0]["label"] == classifier.class_names[seed]
    assert base64.b64decode(found[0]["jpeg"]) == raw


def test_what_cannot_be_shown_is_refused(
    start: Callable[..., Running], client: httpx2.Client, neighbours: Neighbours
) -> None:
    assert client.get("/model").json()["keeps_neighbours"] is False
    assert_refused(client.post("/neighbours", files={"f": encoded()}), 422, "--keep-neighbours")
    with start(neighbours=neighbours).client() as other:
        assert_refused(other.post("/neighbours", files=2 * [("f", encoded())]), 422, "one")
        assert_refused(other.post("/neighbours", files={"f": b"MZ"}), 415, "picture")
        assert_refused(other.post("/neighbours?k=1000", files={"f": encoded()}), 422, "k")
