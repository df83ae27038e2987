"""safetensors: tensors alone, under the names of the network's own library."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from headstart.export.graph import Arrays, Floats, Run
from headstart.models import Classifier
from headstart.models.library_form import LibraryForm, library_form


class SafetensorsFile:
    """A classifier's tensors, in memory."""

    def __init__(self, form: LibraryForm) -> None:
        self.form = form

    def save(self, path: Path, metadata: Mapping[str, str]) -> None:
        """Write the file with these texts in it."""
        from safetensors.torch import save

        # Copies: safetensors refuses tensors that share memory.
        tensors = {name: each.detach().clone() for name, each in self.form.network.state_dict().items()}
        path.write_bytes(save(tensors, {"format": "pt", **metadata}))


def convert(classifier: Classifier) -> SafetensorsFile:
    """Return a classifier's tensors under its library's names.

    Raises:
        ModelError: no library but headstart builds this network.
    """
    return SafetensorsFile(library_form(classifier))


def load(path: Path, classifier: Classifier) -> Run:
    """Return a function that runs the tensors of a file in the network of the classifier's library."""
    from safetensors.torch import load_file

    network: nn.Module = library_form(classifier).network
    network.load_state_dict(load_file(path))

    def run(x: Arrays) -> Floats:
        with torch.inference_mode():
            logits = network(torch.from_numpy(x))
            probabilities: Floats = torch.softmax(logits / classifier.temperature, dim=1).numpy()
        return probabilities

    return run
