"""The import name `pretrainedmodels`, which two distributions install: the original of that name, and ours.

pip lets the two overwrite each other's files and says nothing, and uninstalling the original then removes
files that are ours. This is what `import pretrainedmodels` and `headstart doctor` both need to notice it.
"""

from pathlib import Path

NAME = "pretrainedmodels"

MENDING = "pip uninstall pretrainedmodels, then pip install --force-reinstall --no-deps headstart"
"""The two commands that leave headstart's files alone in the folder, whatever state it is in."""

_ONLY_IN_THE_ORIGINAL = ("version.py", "models/vggm.py")


def is_mixed(folder: Path) -> bool:
    """Return whether the package folder `folder` holds files of the original distribution.

    They stay where ours was installed over it, and come where it was installed over ours.
    """
    return any((folder / name).exists() for name in _ONLY_IN_THE_ORIGINAL)
