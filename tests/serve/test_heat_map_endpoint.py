"""Heat maps over HTTP are those of `predict.heat_maps`."""

import io
from collections.abc import Callable

import httpx2
import numpy as np
import torch
from PIL import Image
from running_service import Running, assert_refused, encoded

from headstart.data.pixels import prepare_picture
from headstart.models import Classifier
from headstart.predict.heat_map import heat_maps, overlay_heat_map
from headstart.preprocess import to_input
from headstart.serve import Limits


def test_it_is_the_heat_map_of_the_class(client: httpx2.Client, classifier: Classifier) -> None:
    raw = encoded(2, kind="PNG")
    pixels = prepare_picture(raw, (classifier.preprocessing,), decoder="fast").pixels[0]
    x = to_input(torch.from_numpy(pixels)[None], classifier.preprocessing)
    best = int(classifier(x).argmax())
    other = (best + 1) % len(classifier.class_names)
    for label, place in ((None, best), (classifier.class_names[other], other)):
        params = {"label": label} if label else {}
        response = client.post("/heat-map", files={"f": raw}, params=params)
        assert response.headers["content-type"] == "image/png"
        found = np.asarray(Image.open(io.BytesIO(response.content)))
        expected = overlay_heat_map(pixels, heat_maps(classifier, x, [place])[0])
        assert np.abs(found.astype(int) - expected).max() <= 2


def test_what_has_none_is_refused(client: httpx2.Client) -> None:
    assert_refused(client.post("/heat-map", files=2 * [("f", encoded())]), 422, "one")
    assert_refused(client.post("/heat-map", files={"f": b"MZ"}), 415, "picture")
    assert_refused(client.post("/heat-map?label=cat", files={"f": encoded()}), 422, "'cat'", "/model")


def test_pixels_are_limited_here_too(start: Callable[..., Running]) -> None:
    with start(limits=Limits(max_pixels=1000)).client() as client:
        assert_refused(client.post("/heat-map", files={"f": encoded()}), 413, "1,000")
