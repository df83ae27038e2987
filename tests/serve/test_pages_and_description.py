"""The pages hold all that they need, and the description tells all that there is."""

import base64
import hashlib
import re
from typing import Any

import httpx2
import pytest
from prometheus_client.parser import text_string_to_metric_families
from running_service import encoded


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_pages_need_nothing_from_elsewhere(client: httpx2.Client, path: str) -> None:
    response = client.get(path)
    assert response.headers["content-type"].startswith("text/html")
    assert not re.findall(r"""(?:src|href|action)=["']?(?:https?:)?//""", response.text)
    assert not re.findall(r"@import|url\(|\bon[a-z]+=", response.text)
    policy = response.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    for kind in ("style", "script"):
        for text in re.findall(rf"<{kind}>(.*?)</{kind}>", response.text, re.S):
            digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
            assert f"{kind}-src 'sha256-{digest}'" in policy
    for name, value in (("x-content-type-options", "nosniff"), ("referrer-policy", "no-referrer")):
        assert response.headers[name] == value


def test_the_description_is_whole(client: httpx2.Client) -> None:
    document = client.get("/openapi.json").json()
    pictures, others = {"/predict", "/heat-map", "/neighbours"}, {"/model", "/health", "/ready", "/metrics"}
    assert set(document["paths"]) == pictures | others

    def references(part: Any) -> list[str]:
        if isinstance(part, dict):
            found = [part["$ref"]] if "$ref" in part else []
            return found + [each for value in part.values() for each in references(value)]
        return [each for value in part for each in references(value)] if isinstance(part, list) else []

    named = references(document)
    assert named
    for reference in named:
        assert reference.rpartition("/")[2] in document["components"]["schemas"], reference
    body = document["paths"]["/predict"]["post"]["requestBody"]["content"]
    assert set(body) == {"multipart/form-data", "application/json"}
    assert set(document["paths"]["/predict"]["post"]["responses"]) >= {
        "200",
        "413",
        "415",
        "422",
        "429",
        "503",
    }
    page = client.get("/docs").text
    for path in document["paths"]:
        assert f" {path}</code>" in page


def test_the_answer_has_the_fields_that_are_described(client: httpx2.Client) -> None:
    schemas = client.get("/openapi.json").json()["components"]["schemas"]
    answer = client.post("/predict", files={"f": encoded()}).json()
    assert set(answer["predictions"][0]) == set(schemas["Answer"]["properties"])
    assert set(client.get("/model").json()) == set(schemas["Model"]["properties"])
    assert set(client.post("/predict").json()) == set(schemas["RefusalBody"]["properties"])


def test_metrics_count_what_was_asked(client: httpx2.Client) -> None:
    def samples() -> dict[Any, float]:
        families = text_string_to_metric_families(client.get("/metrics").text)
        return {
            (sample.name, *sorted(sample.labels.items())): sample.value
            for family in families
            for sample in family.samples
        }

    before = samples()
    client.post("/predict", files=3 * [("f", encoded())])
    client.post("/predict", files={"f": b"no picture"})
    client.get("/no/such/path")
    after = samples()

    def grown(name: str, **labels: str) -> float:
        key = (name, *sorted(labels.items()))
        return after[key] - before.get(key, 0.0)

    assert grown("headstart_requests_total", path="/predict", status="200") == 1
    assert grown("headstart_requests_total", path="/predict", status="415") == 1
    assert grown("headstart_requests_total", path="other", status="404") == 1
    assert grown("headstart_pictures_total", outcome="answered") == 3
    assert grown("headstart_pictures_total", outcome="415") == 1
    assert grown("headstart_batch_pictures_sum") == 3
    assert after[("headstart_waiting_pictures",)] == 0
    assert grown("headstart_request_seconds_count", path="/predict") == 2
