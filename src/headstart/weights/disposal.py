"""Taking fetched weights off the disk again."""

from headstart.catalog.entry import ModelEntry
from headstart.catalog.pins import pin_path, read_pin
from headstart.catalog.places import fetched_path
from headstart.core.files import storage_errors
from headstart.core.paths import conversions_dir
from headstart.core.progress import SILENT, Progress
from headstart.weights.local_file import locked


def discard_fetched(entry: ModelEntry, *, progress: Progress = SILENT) -> int:
    """Delete what was fetched for a row, and what was made of it; return the bytes freed.

    Files of packages and the user's own are not touched.

    Raises:
        StorageError: a file cannot be deleted.
    """
    freed = 0
    for source in entry.weights.sources:
        path = fetched_path(source)
        if source.kind == "file" or not path.is_file():
            continue
        with locked(path, progress, work="fetches"), storage_errors(path, "delete"):
            pin = read_pin(path)
            conversion = conversions_dir() / f"{pin.sha256}.safetensors" if pin is not None else path
            for each in dict.fromkeys((path, pin_path(path), conversion, pin_path(conversion))):
                if each.is_file():
                    freed += each.stat().st_size
                    each.unlink()
    return freed
