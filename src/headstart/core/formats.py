"""The numbers of the file formats that headstart writes.

The rule for raising one: a reader must refuse what it could misread. So a number goes up by one when
a file written from now on would be misunderstood by the code before the change, or the other way round;
a new field that old readers may ignore does not raise it. A reader of number n reads n only, unless it
says otherwise, and names both numbers when it refuses. An embedding cache or a converted weights file of
another number is passed over and made again; a run or a model folder is never silently replaced.
"""

from headstart.core.errors import StorageError

BUNDLE_FORMAT = 1
CATALOG_FORMAT = 2
CHECKPOINT_FORMAT = 2
CONVERSION_FORMAT = 1
EMBEDDING_CACHE_FORMAT = 2
MODEL_FOLDER_FORMAT = 1
RUN_FORMAT = 1


def check_format(found: object, expected: int, what: str) -> None:
    """Refuse a file of another format number.

    Args:
        found: the number that the file states, None where it states none.
        expected: the number that this version reads.
        what: the file, as the message shall name it.

    Raises:
        StorageError: the numbers differ.
    """
    if found != expected:
        raise StorageError(
            f"{what} has format {found!r}; this version of headstart reads format {expected}",
            hint="use the version of headstart that wrote it, or make it again",
        )
