"""Sentences about what was found, and the pieces they are made of."""

from collections.abc import Iterator, Sequence

from headstart.audit.records import DeepAudit, NearDuplicates

_NAMED_AT_MOST = 3


def some(texts: Sequence[str]) -> str:
    """Return the first few texts, and how many more there are."""
    more = f" and {len(texts) - _NAMED_AT_MOST:,} more" if len(texts) > _NAMED_AT_MOST else ""
    return ", ".join(texts[:_NAMED_AT_MOST]) + more


def pictures(count: int) -> str:
    """Return "1 picture", "2 pictures"."""
    return f"{count:,} {'picture' if count == 1 else 'pictures'}"


def picture_occurs(count: int) -> str:
    """Return "1 picture occurs", "2 pictures occur"."""
    return f"{count} {'picture occurs' if count == 1 else 'pictures occur'}"


def deep_findings(deep: DeepAudit) -> list[str]:
    """Return what a person should know of the deep part, one sentence each, the gravest first."""
    return [
        *_near_duplicate_findings(deep.near_duplicates),
        *_label_findings(deep),
        *_shortcut_findings(deep),
        *_group_findings(deep),
        *_suspect_findings(deep),
        *(f"Not looked for: {each}." for each in deep.skipped),
    ]


def _near_duplicate_findings(found: NearDuplicates) -> Iterator[str]:
    if found.conflicts:
        yield f"Near duplicates have different labels: {_groups(found.conflicts)}."
    if found.across_splits:
        yield f"Near duplicates lie in more than one of the given splits: {_groups(found.across_splits)}."
    if found.groups:
        num = sum(len(group) for group in found.groups)
        yield f"{pictures(num)} show nearly the same as others: {_groups(found.groups)}."
    if found.inflation is not None:
        difference = found.inflation
        yield (
            "Near duplicates on both sides of a split change the measured accuracy by "
            f"{100 * difference.value:+.1f} points ({100 * difference.low:+.1f} to "
            f"{100 * difference.high:+.1f}, on {pictures(difference.n)})."
        )


def _groups(groups: Sequence[Sequence[str]]) -> str:
    """Return how many groups there are, and the first of them by their first three pictures."""
    shown = [" ~ ".join(group[:3]) + (" ~ …" if len(group) > 3 else "") for group in groups]
    return f"{len(groups):,} {'group' if len(groups) == 1 else 'groups'}, {some(shown)}"


def _label_findings(deep: DeepAudit) -> Iterator[str]:
    if deep.label_suspects and deep.accuracy is not None:
        listed = [f"{each.id} ({each.label}, or {each.suggested}?)" for each in deep.label_suspects]
        yield (
            f"{len(deep.label_suspects):,} labels may be wrong, says a probe that is right on "
            f"{deep.accuracy.value:.0%} of the pictures: {some(listed)}."
        )


def _shortcut_findings(deep: DeepAudit) -> Iterator[str]:
    for each in deep.shortcuts:
        if each.is_suspicious:
            yield (
                f"The class can be told from {each.source} alone in {each.accuracy.value:.0%} of the "
                f"pictures ({each.accuracy.low:.0%} to {each.accuracy.high:.0%}; saying the most "
                f"common one always: {each.chance:.0%}): a model may learn that instead of what is shown."
            )


def _group_findings(deep: DeepAudit) -> Iterator[str]:
    for each in deep.groups:
        yield (
            f"Pictures seem to belong together by {each.by}, such as {each.example!r}: of those in "
            f"{each.num_groups} groups, {each.nearest_inside:.0%} have their most similar picture in the "
            f"same group ({each.by_chance:.0%} by chance). Pictures of one thing should not lie on "
            "both sides of a split."
        )


def _suspect_findings(deep: DeepAudit) -> Iterator[str]:
    if deep.suspects:
        listed = [f"{each.id} ({each.reason})" for each in deep.suspects]
        yield f"{pictures(len(deep.suspects))} likely of no use: {some(listed)}."
    if deep.outliers:
        yield (
            f"{pictures(len(deep.outliers))} unlike all others: {some([each.id for each in deep.outliers])}."
        )
