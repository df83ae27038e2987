"""Finding rows: by name, by pattern, by what they are good for, by whether the weights are here."""

import difflib
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import translate
from pathlib import Path

from headstart.catalog.entry import ModelEntry
from headstart.catalog.filters import (
    Facts,
    ModelFilter,
    at_most,
    conditions,
    is_one_of,
    license_test,
)
from headstart.catalog.order import sort_entries
from headstart.catalog.places import is_available
from headstart.catalog.rows import builtin_rows, resolve, to_entry, to_facts
from headstart.catalog.side_by_side import SIGN, put_side_by_side
from headstart.catalog.user_rows import checkpoint_entry, user_entries
from headstart.core.errors import InputError, UnknownModelError


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a search found.

    Attributes:
        entries: the rows that fit.
        num_unknown_license: rows that fit in everything else, but whose licence does not say whether it
            fits; 0 where none was asked for.
    """

    entries: tuple[ModelEntry, ...]
    num_unknown_license: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Expansion:
    """What a list of names and patterns stands for.

    Attributes:
        entries: the rows, in the order of the names, each one once.
        notes: one line for each row that was left out because another holds the same tensors.
    """

    entries: tuple[ModelEntry, ...]
    notes: tuple[str, ...]


def list_models(
    pattern: str | None = None,
    *,
    provider: str | None = None,
    family: str | None = None,
    max_params: float | None = None,
    available: bool | None = None,
    where: ModelFilter | None = None,
    sort: str = "name",
) -> list[ModelEntry]:
    """Return the rows of the catalogue that fit.

    Args:
        pattern: a glob on names with or without the provider, upper and lower case alike:
            "efficientnet*", "torchvision/*", "*.in21k"; None for all.
        provider: only this provider's rows.
        family: only variants of this network: "senet"; "_" and "-" do not matter.
        max_params: only models of at most this many parameters; leaves out models of unknown size.
        available: True for models whose weights are on this machine, False for the others, None for all.
        where: more conditions: licence, accuracy, multiply-adds, resolution, pretraining data.
        sort: "name" (the starter models first), "params", "macs" or "size" (of the input), the smallest
            first, or "top1", "real" or "v2" (accuracies), the highest first. A "-" in front turns it round.
            What is unknown comes last either way.

    Raises:
        InputError: a condition cannot be met by any row or makes no sense, or the file that
            ``HEADSTART_CATALOG`` names has a row that cannot be used.

    Example:
        >>> [entry.architecture for entry in list_models("efficientnet_lite?", provider="starter")]
        ['efficientnet_lite0', 'efficientnet_lite1', 'efficientnet_lite2']
        >>> from headstart.catalog import ModelFilter
        >>> frugal = list_models(where=ModelFilter(max_macs=1e9, min_top1=0.8), sort="-top1")
        >>> all(entry.num_macs <= 1e9 and entry.weights.top1 >= 0.8 for entry in frugal)
        True
    """
    found = search_models(
        pattern,
        provider=provider,
        family=family,
        max_params=max_params,
        available=available,
        where=where,
    )
    return sort_entries(found.entries, sort)


def search_models(
    pattern: str | None = None,
    *,
    provider: str | None = None,
    family: str | None = None,
    max_params: float | None = None,
    available: bool | None = None,
    where: ModelFilter | None = None,
) -> Found:
    """Return the rows that fit, in no particular order, and how many of unknown licence were left out.

    Arguments and errors are those of `list_models`.
    """
    where = where or ModelFilter()
    own = {entry.name: entry for entry in user_entries()}
    rows = [*builtin_rows().by_name.values(), *map(to_facts, own.values())]
    tests: list[Callable[[Facts], bool]] = [_matcher(pattern)] if pattern is not None else []
    if provider is not None:
        tests.append(is_one_of("provider", provider, rows))
    if family is not None:
        tests.append(is_one_of("family", family, rows))
    if max_params is not None:
        tests.append(at_most("num_params", max_params))
    tests += conditions(where, rows)
    license_fits = license_test(where.license, rows) if where.license is not None else None

    entries, num_unknown = [], 0
    for row in rows:
        if not all(test(row) for test in tests):
            continue
        fits = True if license_fits is None else license_fits(row)
        if fits is False:
            continue
        entry = own.get(row["name"]) or to_entry(row)
        if available is not None and is_available(entry) != available:
            continue
        if fits is None:
            num_unknown += 1
        else:
            entries.append(entry)
    return Found(entries=tuple(entries), num_unknown_license=num_unknown)


def find_model(name: str) -> ModelEntry:
    """Return the one row that `name` stands for.

    Args:
        name: "timm/resnet50.a1_in1k"; without the provider, the first of starter, pretrainedmodels,
            torchvision, timm and the user's own rows that has it; without the tag, the default weights;
            "timm/resnet50@my.safetensors" for one's own weights file of a known architecture;
            "resnet50+timm/convnext_tiny" for networks side by side.

    Raises:
        UnknownModelError: there is no such model; the hint names the nearest ones.
        InputError: the file after "@" does not exist, the user's own rows have a mistake, or such networks
            cannot stand side by side.

    Example:
        >>> find_model("efficientnet_lite0").name
        'starter/efficientnet_lite0.in1k'
    """
    members = _find_members(name.split(SIGN))
    return members[0] if len(members) == 1 else put_side_by_side(members)


def _find_members(pieces: list[str]) -> list[ModelEntry]:
    """Return the rows whose names a text is made of, which was cut at each "+".

    A name or a file's may hold a "+" itself, so the longest beginning that is a name counts.
    """
    for end in range(len(pieces), 0, -1):
        entry = find_single(SIGN.join(pieces[:end]))
        if entry is not None:
            return [entry, *(_find_members(pieces[end:]) if pieces[end:] else [])]
    base, mark, file = pieces[0].partition("@")
    if mark and not _weights_path(file).is_file():
        raise InputError(f"{pieces[0]!r} names the weights file {_weights_path(file)}, which does not exist")
    raise _unknown(base)


def find_single(name: str) -> ModelEntry | None:
    """Return the row of one network that `name` stands for, None where there is none."""
    base, mark, file = name.partition("@")
    if mark:
        path = _weights_path(file)
        row_of_base = find_single(base) if path.is_file() else None
        return None if row_of_base is None else checkpoint_entry(row_of_base, path, name=name)
    row = resolve(name)
    if row is not None:
        return to_entry(row)
    own = (each for each in user_entries() if name in (each.name, each.name.rpartition("/")[2]))
    return next(own, None)


def _weights_path(file: str) -> Path:
    return Path(file).expanduser().absolute()


def expand(names: Sequence[str], *, find: Callable[[str], ModelEntry] = find_model) -> Expansion:
    """Return the rows that names and patterns stand for, each set of tensors once.

    Args:
        names: names as `find` takes them, and patterns as `list_models` takes them, in any mixture.
        find: what looks up a name that is no pattern.

    Raises:
        UnknownModelError: a name is unknown or a pattern fits nothing.
        InputError: `names` is empty.
    """
    if not names:
        raise InputError("no model was named", hint="see: headstart models")
    kept: dict[str, ModelEntry] = {}
    notes: dict[str, str] = {}
    for entry in _each(names, find):
        if entry.name in kept or entry.name in notes:
            continue
        twin = next((name for name in entry.same_tensors_as if name in kept), None)
        if twin is None:
            kept[entry.name] = entry
        else:
            notes[entry.name] = f"{entry.name} is left out: its tensors are those of {twin}"
    return Expansion(entries=tuple(kept.values()), notes=tuple(notes.values()))


def _each(names: Sequence[str], find: Callable[[str], ModelEntry]) -> Iterator[ModelEntry]:
    for name in names:
        if re.search(r"[*?\[]", name) is None or "@" in name or os.path.exists(name):
            yield find(name)
            continue
        found = list_models(name)
        if not found:
            raise UnknownModelError(
                f"no model fits the pattern {name!r} ({_count():,} in the catalogue)",
                hint="see: headstart models",
            )
        yield from found


def _matcher(pattern: str) -> Callable[[Facts], bool]:
    match = re.compile(translate(pattern.lower())).match

    def matches(row: Facts) -> bool:
        full = row["name"].lower()
        bare = full.partition("/")[2]
        # Without their tag too, so that 'resnet50' and 'efficientnet_lite?' find all weight sets.
        return any(match(form) for form in (full, bare, full.partition(".")[0], bare.partition(".")[0]))

    return matches


def _count() -> int:
    return len(builtin_rows().by_name) + len(user_entries())


def _unknown(name: str) -> UnknownModelError:
    if os.path.isdir(name):
        return UnknownModelError(
            f"the folder {name!r} holds no saved model: it has no headstart.json",
            hint="a run has its model in the folder 'model'",
        )
    full = [*builtin_rows().by_name, *(entry.name for entry in user_entries())]
    forms: dict[str, None] = {}  # a dictionary, for it keeps the order: providers first come first
    for each in full:
        bare = each.partition("/")[2] or each
        forms |= dict.fromkeys([bare.partition(".")[0], bare, each.partition(".")[0], each])
    if "/" not in name:
        forms = {form: None for form in forms if "/" not in form}
    near = [form for form in forms if form.startswith(name)]
    near = near or difflib.get_close_matches(name, forms, n=1, cutoff=0.75)
    hint = "see: headstart models"
    if near:
        stem = re.match(r"[a-zA-Z_/]*[a-zA-Z]", near[0])
        hint = f"did you mean {near[0]!r}? See: headstart models '{stem.group() if stem else ''}*'"
    return UnknownModelError(f"no model is called {name!r} ({len(full):,} in the catalogue)", hint=hint)
