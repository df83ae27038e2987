"""From a name to its row, without loading anything."""

from pathlib import Path

from headstart.catalog import find_model
from headstart.catalog.entry import ModelEntry
from headstart.catalog.side_by_side import SIGN
from headstart.core.errors import InputError
from headstart.models.folder_record import find_model_folder, folder_entry, is_model_folder


def resolve(name: str) -> ModelEntry:
    """Return the row that a name means: a model of the catalogue, a checkpoint, or a saved model folder.

    A run's folder means the model in it.

    Raises:
        UnknownModelError: nothing has this name.
        InputError: models that the name sets side by side cannot stand so.
    """
    folder = find_model_folder(Path(name))
    if folder is not None:
        return folder_entry(folder)
    saved = next((part for part in name.split(SIGN) if part and is_model_folder(Path(part))), None)
    if saved is not None:
        raise InputError(
            f"{saved} is a saved model folder; it cannot stand side by side with another model",
            hint=f"name the model it was made from: {folder_entry(Path(saved)).name}",
        )
    return find_model(name)
