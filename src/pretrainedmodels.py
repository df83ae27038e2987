"""What `import pretrainedmodels` finds when the folder of that name beside this file has lost its `__init__`.

Python looks for the folder first. Uninstalling the original distribution `pretrainedmodels` removes the files
that have the same names as its own, the folder's ``__init__.py`` among them. Without this file an empty
package would be imported, and the program would fail somewhere later.
"""

from headstart.core.drop_in import MENDING

raise ImportError(
    "files of headstart's package 'pretrainedmodels' are missing, as when the original distribution of that "
    f"name was uninstalled; to mend it: {MENDING}"
)
