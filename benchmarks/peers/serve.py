"""One peer as a service, as one writes it from its own first pages. Run by serving.py.

    python benchmarks/peers/serve.py PEER SPEC.json

Needs only the peer's own packages. It listens on the port that the spec names and answers POST /predict, a
form with one file, with the most probable class's index and probability, as JSON.
"""

import io
import json
import sys
from pathlib import Path
from typing import Any

import torch
from fastapi import FastAPI, UploadFile
from PIL import Image


def timm_network(spec: dict[str, Any]) -> tuple[Any, Any]:
    """Return timm's network with the tensors of the spec, and its transform."""
    import timm
    import timm.data
    from safetensors.torch import load_file

    network = timm.create_model(spec["timm"])
    network.load_state_dict(load_file(spec["weights"]))
    transform = timm.data.create_transform(
        input_size=(3, spec["side"], spec["side"]),
        interpolation=spec["interpolation"],
        crop_pct=spec["crop_fraction"],
        mean=spec["mean"],
        std=spec["std"],
    )
    return network.eval(), transform


def best_of(logits: Any) -> list[dict[str, Any]]:
    """Return each row's most probable class."""
    values, places = logits.softmax(1).max(1)
    return [
        {"index": place, "probability": value}
        for place, value in zip(places.tolist(), values.tolist(), strict=True)
    ]


def serve_fastapi(spec: dict[str, Any], *, is_async: bool) -> None:
    """A plain FastAPI service: one picture, one forward pass."""
    import uvicorn

    network, transform = timm_network(spec)
    app = FastAPI()

    @torch.inference_mode()
    def answer(raw: bytes) -> dict[str, Any]:
        picture = Image.open(io.BytesIO(raw)).convert("RGB")
        return best_of(network(transform(picture)[None]))[0]

    if is_async:

        @app.post("/predict")
        async def predict(request: UploadFile) -> dict[str, Any]:
            return answer(await request.read())

    else:

        @app.post("/predict")
        def predict(request: UploadFile) -> dict[str, Any]:
            return answer(request.file.read())

    uvicorn.run(app, port=spec["port"], log_level="warning")


def serve_litserve(spec: dict[str, Any]) -> None:
    """LitServe with batches of the size that headstart takes."""
    import litserve
    from litserve_api import Classify

    api = Classify(max_batch_size=spec["batch_size"], batch_timeout=0.01)
    api.peer_spec = spec
    server = litserve.LitServer(api, accelerator="cpu", timeout=120)
    server.run(host="127.0.0.1", port=spec["port"], log_level="warning", generate_client_file=False)


def main() -> None:
    """Serve the peer that the command line names, until the process is ended."""
    peer, spec = sys.argv[1], json.loads(Path(sys.argv[2]).read_text(encoding="utf-8"))
    if peer == "litserve":
        serve_litserve(spec)
    else:
        serve_fastapi(spec, is_async=peer == "fastapi, async")


if __name__ == "__main__":
    main()
