"""Which rows are wanted: conditions on the facts of a row, and the order to show them in.

Conditions are checked on plain rows, before any record is made of them. A row that lacks the fact that a
condition is about does not fit: what is unknown is not assumed.
"""

import difflib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias

from headstart.catalog.licenses import permits_commercial_use
from headstart.core.errors import InputError

Facts: TypeAlias = dict[str, Any]
"""A row's facts under the names of the data files; what is unknown is left out."""

COMMERCIAL = "commercial"
UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFilter:
    """Conditions on rows of the catalogue; None sets none.

    Attributes:
        license: "commercial" for licences that permit commercial use, "unknown", or an identifier such as
            "Apache-2.0".
        pretrained_on: a data set that the weights were trained on, however it is written: "in22k",
            "imagenet-21k" and "imagenet-22k" are one, "laion" stands for all that begin so.
        num_classes: K of the head that the weights bring, 0 for those without.
        max_macs: multiply-adds for one picture, at most.
        max_feature_dim: width of the features, at most.
        max_resolution: longer side of the input in pixels, at most.
        min_top1: ImageNet-1k top-1 accuracy in [0, 1], at least.
        min_real: ImageNet-ReaL top-1 accuracy in [0, 1], at least.
        min_v2: ImageNet-V2 top-1 accuracy in [0, 1], at least.
    """

    license: str | None = None
    pretrained_on: str | None = None
    num_classes: int | None = None
    max_macs: float | None = None
    max_feature_dim: float | None = None
    max_resolution: float | None = None
    min_top1: float | None = None
    min_real: float | None = None
    min_v2: float | None = None


def conditions(where: ModelFilter, rows: Iterable[Facts]) -> list[Callable[[Facts], bool]]:
    """Return the conditions of `where` but that on the licence, each a function of a row.

    Args:
        where: the conditions.
        rows: all rows, to know which data sets there are.

    Raises:
        InputError: a number is not positive, an accuracy not in [0, 1], or no weights were trained on such
            a data set.
    """
    tests: list[Callable[[Facts], bool]] = []
    for fact, most in (
        ("num_macs", where.max_macs),
        ("feature_dim", where.max_feature_dim),
        ("resolution", where.max_resolution),
    ):
        if most is not None:
            tests.append(at_most(fact, most))
    for fact, least in (("top1", where.min_top1), ("real_top1", where.min_real), ("v2_top1", where.min_v2)):
        if least is not None:
            tests.append(at_least(fact, least))
    if where.num_classes is not None:
        tests.append(_has_classes(where.num_classes))
    if where.pretrained_on is not None:
        tests.append(_trained_on(where.pretrained_on, rows))
    return tests


def license_test(wanted: str, rows: Iterable[Facts]) -> Callable[[Facts], bool | None]:
    """Return a function of a row: does its licence fit? None where that is not known.

    Args:
        wanted: as `ModelFilter.license`.
        rows: all rows, to know which licences there are.

    Raises:
        InputError: no row has such a licence.
    """
    if wanted == COMMERCIAL:
        return lambda row: permits_commercial_use(row.get("license", ""))
    if wanted == UNKNOWN:
        return lambda row: not row.get("license")
    known = {row["license"] for row in rows if row.get("license")}
    if wanted.lower() not in {each.lower() for each in known}:
        raise InputError(
            f"no model has the licence {wanted!r}",
            hint=_nearest(
                wanted, known, f"'{COMMERCIAL}', '{UNKNOWN}', or one of {', '.join(sorted(known))}"
            ),
        )
    return lambda row: row.get("license", "").lower() == wanted.lower()


def is_one_of(fact: str, wanted: str, rows: Iterable[Facts]) -> Callable[[Facts], bool]:
    """Return the condition that a row's family or provider is `wanted`, "_" and "-" aside.

    Raises:
        InputError: no row has it; the hint names the nearest, or all where they are few.
    """
    known = {row[fact] for row in rows}
    if _plain(wanted) not in {_plain(each) for each in known}:
        raise InputError(
            f"no model has the {fact} {wanted!r}",
            hint=_nearest(wanted, known, f"known are {', '.join(sorted(known))}"),
        )
    return lambda row: _plain(row[fact]) == _plain(wanted)


def at_most(fact: str, most: float) -> Callable[[Facts], bool]:
    """Return the condition that a number of a row is known and at most `most`.

    Raises:
        InputError: `most` is not above 0.
    """
    if not most > 0:
        raise InputError(f"the greatest {fact} is {most}; expected a number above 0")
    return lambda row: 0 < (row.get(fact) or 0) <= most


def at_least(fact: str, least: float) -> Callable[[Facts], bool]:
    """Return the condition that an accuracy of a row is known and at least `least`.

    Raises:
        InputError: `least` is not in [0, 1].
    """
    if not 0 <= least <= 1:
        raise InputError(
            f"the least {fact} is {least}; expected an accuracy between 0 and 1",
            hint=f"for {least} percent write {least / 100:g}" if 10 <= least <= 100 else "",
        )
    return lambda row: row.get(fact) is not None and row[fact] >= least


def data_set_key(name: str) -> str:
    """Return a name of a data set in the one way that all its spellings have in common.

    ImageNet-21k and -22k are two counts of the classes of the same pictures, those of autumn 2011.

    Example:
        >>> data_set_key("in21k") == data_set_key("ImageNet-22k")
        True
    """
    plain = re.sub(r"^in(?=\d)", "imagenet", _plain(name))
    return "imagenet22k" if plain == "imagenet21k" else plain


def _trained_on(wanted: str, rows: Iterable[Facts]) -> Callable[[Facts], bool]:
    known = {name for row in rows for name in _data_sets(row)}
    fitting = {name for name in known if data_set_key(name).startswith(data_set_key(wanted))}
    if not fitting or not _plain(wanted):
        raise InputError(
            f"no weights are known to be trained on {wanted!r}",
            hint=_nearest(wanted, known, f"known are {', '.join(sorted(known))}"),
        )
    return lambda row: not fitting.isdisjoint(_data_sets(row))


def _data_sets(row: Facts) -> list[str]:
    listed: str = row.get("pretrained_on", "")
    return listed.split(", ") if listed else []


def _has_classes(wanted: int) -> Callable[[Facts], bool]:
    if wanted < 0:
        raise InputError(f"the number of classes is {wanted}; expected 0 or more")
    return lambda row: row.get("num_classes", 1000) == wanted


def _plain(text: str) -> str:
    return re.sub(r"[\W_]", "", text).lower()


def _nearest(wanted: str, known: Iterable[str], otherwise: str) -> str:
    by_plain = {_plain(each): each for each in sorted(known)}
    near = difflib.get_close_matches(_plain(wanted), by_plain, n=1, cutoff=0.7)
    return f"did you mean {by_plain[near[0]]!r}?" if near else otherwise
