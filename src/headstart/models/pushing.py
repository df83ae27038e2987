"""`push`: a saved model folder to the Hugging Face hub, with the hub's own client.

The address is that of ``HF_ENDPOINT``, the token that of ``HF_TOKEN`` or of ``hf auth login``: whatever the
client takes them from.
"""

import io
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from headstart.core.errors import CorruptWeightsError, HubError, InputError
from headstart.core.files import storage_errors
from headstart.core.offline import OFFLINE_VARIABLE, is_offline
from headstart.core.progress import SILENT, Progress
from headstart.models.classifier import Classifier
from headstart.models.folder import CARD_FILE, FAMILIARITY_FILE, load_folder
from headstart.models.folder_record import RECORD_FILE, TENSORS_FILE, find_model_folder, is_model_folder
from headstart.models.neighbours import CARD_SECTION

if TYPE_CHECKING:
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

PUSHED_FILES = (TENSORS_FILE, RECORD_FILE, CARD_FILE, FAMILIARITY_FILE)
"""All that is ever sent; whatever else lies in the folder, such as neighbours that show pictures, stays."""

_LOG_IN = "log in with 'hf auth login', or set HF_TOKEN to a token that may write"
_HINTS = {
    400: "the hub does not take this; its answer says why",
    401: f"the token is wrong or has run out: {_LOG_IN}",
    403: "this token may not write there: take one that may, or a repository under your own name",
    404: "check the name, and whether the token may see it: YOUR-NAME/MODEL",
    409: "something else was changed there at the same time: run the same command again",
    413: "the hub takes no files of this size",
    429: "too many requests: wait a little, then run the same command again",
}


def push(model: Path | str, repository: str, *, public: bool = False, progress: Progress = SILENT) -> str:
    """Upload a saved model folder to the hub, in one commit, and return its address.

    The repository is made where there is none: private, unless `public`. Only the folder's tensors, record
    and card are sent.

    Args:
        model: a folder that `save_folder` wrote, whole and as it was saved; or the run's folder around it.
        repository: its name on the hub, "ann/flowers"; without "/" one under the token's own name.
        public: whether everybody may see it.
        progress: told what is being done.

    Raises:
        InputError: it is no model folder, the name cannot be one, or the repository is public already and
            `public` was not said.
        CorruptWeightsError: the folder is not whole, or not as it was saved.
        HubError: requests are forbidden, there is no token, or the hub refused or did not answer.
    """
    folder = find_model_folder(Path(model)) or Path(model)
    progress.start(f"checking {folder}")
    classifier = _check(folder)
    if is_offline():
        raise HubError(
            f"{OFFLINE_VARIABLE} forbids requests, so nothing was sent to the hub",
            hint=f"unset {OFFLINE_VARIABLE} to upload",
        )
    from huggingface_hub import HfApi, get_token

    if get_token() is None:
        raise HubError("there is no token for the hub", hint=_LOG_IN)
    if public and not classifier.license:
        progress.note(
            "the licence of the pretrained weights is unknown: find out whether you may pass them on"
        )
    api = HfApi()
    # One that the record does not name was not checked, and is not the model's.
    files = [each for each in PUSHED_FILES if each != FAMILIARITY_FILE or classifier.familiarity is not None]
    with _hub_errors(repository, api.endpoint):
        name = _repository(api, repository, public=public, progress=progress)
        _upload(api, folder, files, name, progress)
    return f"{api.endpoint}/{name}"


def _check(folder: Path) -> Classifier:
    """Return the classifier in a folder; raise where it is not one that may be passed on as what it says."""
    if not is_model_folder(folder):
        raise InputError(
            f"{folder} is no saved model: it has no {RECORD_FILE}",
            hint="name a run's folder, or the model in it: headstart-runs/flowers/model",
        )
    if not (folder / CARD_FILE).is_file():
        raise CorruptWeightsError(f"{folder} has no {CARD_FILE}", hint="copy the whole folder")
    classifier = load_folder(folder)
    with storage_errors(folder / CARD_FILE, "read"):
        _check_card((folder / CARD_FILE).read_text(encoding="utf-8", errors="replace"))
    return classifier


def _check_card(text: str) -> None:
    from huggingface_hub import ModelCard

    try:
        license_ = ModelCard(text).data.get("license")
    except Exception as error:  # YAML's own errors, and those of values that are not what they should be
        raise InputError(
            f"the hub could not read the card {CARD_FILE}: {error}",
            hint="mend its metadata, the lines between the two '---' at its beginning",
        ) from error
    if not license_:
        raise InputError(
            f"the card {CARD_FILE} says nothing about the licence",
            hint="it was written by an older headstart: run the same comparison again with another --out",
        )


def _repository(api: "HfApi", repository: str, *, public: bool, progress: Progress) -> str:
    """Return the full name of a repository, made where it is missing.

    Raises:
        InputError: it is there, and everybody may see it, which was not asked for.
    """
    progress.start(f"opening {repository}")
    name = api.create_repo(repository, private=not public, exist_ok=True).repo_id
    is_private = api.repo_info(name).private
    if is_private is False and not public:
        raise InputError(
            f"{name} is there already and is public; nothing was sent",
            hint="--public uploads to it all the same; another name makes a private one",
        )
    if is_private and public:
        progress.note(f"{name} was private before, and stays so: its settings on the hub change that")
    return name


class _Watched(io.BufferedReader):
    """A file that tells how far it has been read, from the moment that it is given a listener."""

    def __init__(self, path: Path) -> None:
        super().__init__(io.FileIO(path))
        self.progress: Progress = SILENT
        self._furthest = 0

    def read(self, size: int | None = -1, /) -> bytes:
        """Read, and tell what had not been read before; what is sent again after a failure has been."""
        data = super().read(size)
        if self.tell() > self._furthest and self.progress is not SILENT:
            self.progress.advance(self.tell() - self._furthest)
            self._furthest = self.tell()
        return data


def _upload(api: "HfApi", folder: Path, files: Sequence[str], name: str, progress: Progress) -> None:
    """Send some of the folder's files, the tensors among them, in one commit."""
    from huggingface_hub import CommitOperationAdd

    with storage_errors(folder / TENSORS_FILE, "read"):
        tensors = _Watched(folder / TENSORS_FILE)
    with tensors, _quiet():
        progress.start(f"hashing {TENSORS_FILE}")
        card = (folder / CARD_FILE).read_text(encoding="utf-8").replace(CARD_SECTION, "")
        sources: dict[str, Path | bytes | _Watched] = {each: folder / each for each in files}
        operations = [
            CommitOperationAdd(path_in_repo=each, path_or_fileobj=source)
            for each, source in (sources | {TENSORS_FILE: tensors, CARD_FILE: card.encode()}).items()
        ]
        progress.start(f"uploading to {name}", total=(folder / TENSORS_FILE).stat().st_size, unit="B")
        tensors.progress = progress
        api.create_commit(name, operations, commit_message="Upload a model with headstart")


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the client from drawing bars of its own, and from telling that watched files go by plain http."""
    from huggingface_hub.utils import logging as hub_logging
    from huggingface_hub.utils.tqdm import (
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )

    verbosity, were_disabled = hub_logging.get_verbosity(), are_progress_bars_disabled()
    hub_logging.set_verbosity(logging.ERROR)
    disable_progress_bars()
    try:
        yield
    finally:
        hub_logging.set_verbosity(verbosity)
        if not were_disabled:
            enable_progress_bars()


@contextmanager
def _hub_errors(repository: str, endpoint: str) -> Iterator[None]:
    """Turn the client's errors inside the block into ours."""
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    # The library below the client differs between its versions; its errors are what the client's derive from.
    transport_error: type[Exception] = HfHubHTTPError.__bases__[0]
    try:
        yield
    except HFValidationError as error:
        raise InputError(
            f"{repository!r} cannot be a repository's name: {error}", hint="for example ann/flowers"
        ) from error
    except HfHubHTTPError as error:
        raise _refusal(repository, error) from error
    except (InputError, HubError):
        raise
    except (transport_error, OSError) as error:
        raise HubError(
            f"{endpoint} did not answer: {str(error) or type(error).__name__}",
            hint="check the network and HF_ENDPOINT, then run the same command again",
        ) from error
    except (ValueError, RuntimeError) as error:  # of an upload, or an answer that the client cannot read
        cause = error.__cause__
        if isinstance(cause, HfHubHTTPError):
            raise _refusal(repository, cause) from error
        raise HubError(
            f"the upload to {repository} failed: {cause or error}", hint="run the same command again"
        ) from error


def _refusal(repository: str, error: "HfHubHTTPError") -> HubError:
    """Return what the hub's answer means."""
    status = error.response.status_code
    said = error.server_message or error.response.reason_phrase
    hint = "the hub has trouble: try again later" if status >= 500 else _HINTS.get(status, "")
    return HubError(f"the hub answered {status} for {repository}: {said}", hint=hint)
