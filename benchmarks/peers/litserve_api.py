"""The class that LitServe's own processes import. Run by serve.py."""

from typing import Any

import litserve
import torch
from fastapi import Request
from PIL import Image

from serve import best_of, timm_network


class Classify(litserve.LitAPI):
    """A picture's most probable class; `peer_spec` is set by whoever makes it."""

    peer_spec: dict[str, Any]

    def setup(self, device: str) -> None:
        """Load the network."""
        self.network, self.transform = timm_network(self.peer_spec)

    def decode_request(self, request: Request) -> Any:
        """Return a picture as a tensor; what LitServe makes of a `Request` is its form."""
        picture = Image.open(request["request"].file).convert("RGB")
        return self.transform(picture)

    def batch(self, inputs: list[Any]) -> Any:
        """Return pictures as one tensor."""
        return torch.stack(inputs)

    @torch.inference_mode()
    def predict(self, x: Any) -> list[dict[str, Any]]:
        """Return each picture's most probable class."""
        return best_of(self.network(x))

    def unbatch(self, output: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return the answers one by one."""
        return output

    def encode_response(self, output: dict[str, Any]) -> dict[str, Any]:
        """Return an answer as it is."""
        return output
