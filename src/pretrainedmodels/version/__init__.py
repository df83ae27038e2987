"""The version; a folder, not a file, so that it is found before the original's ``version.py``.

The original distribution `pretrainedmodels` installs files of the same names as ours. Whichever of the two
``__init__.py`` is in force imports this, so here is where a mixed folder is noticed.
"""

import warnings
from pathlib import Path

from headstart.core.drop_in import MENDING, is_mixed

__version__ = "0.7.4+headstart.0.1"

if is_mixed(Path(__file__).parents[1]):
    warnings.warn(
        "the original distribution 'pretrainedmodels' is installed in the same folder as headstart's, and "
        f"their files are mixed; to mend it: {MENDING}",
        stacklevel=3,  # the line that imports pretrainedmodels
    )
