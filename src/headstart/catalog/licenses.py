"""What the licences of weights say about commercial use.

A licence that is not in the table, or whose text nobody here has read, is unknown: it neither permits nor
forbids. The table is about the licence of the weights alone; whether the pictures that they were trained on
bind their user is a question that no identifier answers.
"""

from typing import Final

COMMERCIAL_USE: Final[dict[str, tuple[bool, str]]] = {
    "Apache-2.0": (True, "any use; https://spdx.org/licenses/Apache-2.0.html"),
    "MIT": (True, "any use; https://spdx.org/licenses/MIT.html"),
    "BSD-3-Clause": (True, "any use; https://spdx.org/licenses/BSD-3-Clause.html"),
    "CC-BY-4.0": (True, "any use, with credit; https://creativecommons.org/licenses/by/4.0/"),
    "CC-BY-NC-4.0": (False, "non-commercial use only; https://creativecommons.org/licenses/by-nc/4.0/"),
    "apple-ascl": (
        True,
        "use, change and redistribution, with no bar on commerce, but no patents; "
        "https://github.com/apple/ml-aim/blob/main/LICENSE",
    ),
    "fastvit-license": (
        True,
        "the text of apple-ascl; https://github.com/apple/ml-fastvit/blob/main/LICENSE",
    ),
    "nvidia-open-model-license": (
        True,
        "its text calls the models commercially usable; "
        "https://www.nvidia.com/en-us/agreements/enterprise-software/nvidia-open-model-license/",
    ),
    "apple-amlr": (
        False,
        "research purposes only; https://github.com/apple/ml-mobileclip/blob/main/LICENSE_MODELS",
    ),
    "fair-noncommercial-research-license": (False, "non-commercial research only, as its name says"),
    "seer-license": (
        False,
        "non-commercial research only; "
        "https://github.com/facebookresearch/vissl/blob/main/projects/SEER/MODEL_LICENSE.md",
    ),
}
"""From a licence's identifier to whether it permits commercial use, and why."""


_BY_LOWER_CASE = {name.lower(): terms for name, terms in COMMERCIAL_USE.items()}


def permits_commercial_use(license_name: str) -> bool | None:
    """Return whether a licence permits commercial use, None where that is not known.

    Args:
        license_name: the identifier, in upper or lower case, several with " AND " between, of which each
            must permit it; "" for an unknown licence.
    """
    permits = [terms and terms[0] for terms in _terms(license_name)]
    return False if False in permits else None if None in permits else True


def license_terms(license_name: str) -> str:
    """Return why a licence permits commercial use or does not, "" where that is not known."""
    known = [terms[1] for terms in _terms(license_name) if terms is not None]
    return " AND ".join(known)


def _terms(license_name: str) -> list[tuple[bool, str] | None]:
    """Return the table's entry for each of the licences that bind together, None where it has none."""
    return [_BY_LOWER_CASE.get(each) for each in license_name.lower().split(" and ")]
