"""Every error that headstart raises on purpose.

::

    HeadstartError
    ├── InputError (ValueError)           an argument or option that cannot be used
    │   └── RunMismatchError              the output folder holds a run made with other settings
    ├── UnknownModelError (KeyError)      a name that is not in the catalogue
    ├── MissingExtraError (ImportError)   an optional feature whose packages are not installed
    ├── DataError (ValueError)            a data set that cannot be used as it is
    │   ├── NoAnswerError                 the service that holds the pictures does not answer
    │   └── PictureError                  one picture that cannot be read
    │       └── PictureTooLargeError      one with more pixels than are decoded
    ├── ModelError (RuntimeError)         a model that cannot be built, or lacks what was asked of it
    │   └── TrainingError                 a training that came to nothing: the loss is not a number
    ├── WeightsError (OSError)            weights that cannot be had or must not be trusted
    │   ├── UnreachableError              no source of a weights file answered
    │   ├── RefusedSourceError            a host that proves nothing, for a file without a whole sha256
    │   └── CorruptWeightsError           a weights file that is damaged, tampered with, or not tensors
    ├── ClusterError (ConnectionError)    no cluster answers, or it cannot do the work
    ├── HubError (OSError)                the model hub refused an upload, or did not answer
    └── StorageError (OSError)            a file or folder that cannot be read or written

Each also inherits the built-in a caller would expect, and carries ``hint``: how to mend it, or "".
"""


class HeadstartError(Exception):
    """Base of all errors of headstart; ``str(error)`` is the message, ``error.hint`` how to mend it."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:  # KeyError would print the message in quotes, OSError with its errno
        return self.message


class InputError(HeadstartError, ValueError):
    """An argument or option has a value that cannot be used."""


class RunMismatchError(InputError):
    """The output folder holds a run made from other data, models or settings."""


class UnknownModelError(HeadstartError, KeyError):
    """No row of the catalogue has this name."""


class MissingExtraError(HeadstartError, ImportError):
    """An optional feature was asked for whose packages are not installed."""


class DataError(HeadstartError, ValueError):
    """A data set cannot be used as it is."""


class NoAnswerError(DataError):
    """The service that holds the pictures does not answer, though it was asked again and again."""


class PictureError(DataError):
    """One picture cannot be read; the message is the reason, without the picture's name."""


class PictureTooLargeError(PictureError):
    """A picture has more pixels than are decoded."""


class ModelError(HeadstartError, RuntimeError):
    """A model cannot be built, or lacks what was asked of it."""


class TrainingError(ModelError):
    """A training came to nothing: its loss is not a number."""


class WeightsError(HeadstartError, OSError):
    """Weights cannot be had or must not be trusted."""


class UnreachableError(WeightsError):
    """None of a weights file's sources answered."""


class RefusedSourceError(WeightsError):
    """A host does not prove who it is, and the whole sha256 that would prove the file is not known."""


class CorruptWeightsError(WeightsError):
    """A weights file is damaged, is not the one it should be, or holds more than tensors."""


class ClusterError(HeadstartError, ConnectionError):
    """No cluster answers, or the one that does cannot do the work."""


class HubError(HeadstartError, OSError):
    """The model hub refused what was sent, or did not answer."""


class StorageError(HeadstartError, OSError):
    """A file or folder of ours cannot be read or written: full disk, missing rights, foreign format."""
