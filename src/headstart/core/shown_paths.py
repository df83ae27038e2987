"""What may be told of where somebody's files lie: in reports, cards, whatever is passed on."""

import re

_QUOTED_PATH = re.compile(
    r"""(?P<quote>['"])(?:/|[A-Za-z]:[\\/])(?:[^'"\n]*[\\/])?(?P<last>[^'"\\/\n]+)[\\/]?(?P=quote)"""
)
_POSIX_PATH = re.compile(r"""(?<![\w.~/<])/(?:[^\s/'"<>]+/)+(?P<last>[^\s/'"<>,;:)\]]*)""")
_WINDOWS_PATH = re.compile(r"""\b[A-Za-z]:[\\/](?:[^\s\\/'"<>]+[\\/])*(?P<last>[^\s\\/'"<>,;:)\]]*)""")


def without_absolute_paths(text: str) -> str:
    """Return `text` with every absolute path in it cut down to its last part.

    Reports and models are passed on; where somebody's home folder lies is nobody's business.

    Example:
        >>> without_absolute_paths("headstart compare /home/ann/flowers --seed 0")
        'headstart compare flowers --seed 0'
    """
    text = _QUOTED_PATH.sub(r"\g<quote>\g<last>\g<quote>", text.replace("file://", ""))
    text = _WINDOWS_PATH.sub(lambda found: found["last"] or "…", text)
    return _POSIX_PATH.sub(lambda found: found["last"] or "…", text)
