"""An audit beside a comparison: it comes after the choice and changes nothing of it."""

from dataclasses import replace
from pathlib import Path

import headstart as hs
from headstart.compare import CompareOptions, compare, load_comparison
from headstart.report import write_report

OPTIONS = CompareOptions(resolutions=(32,), plan="exact")


def test_an_audit_is_added_to_a_comparison_that_is_done(
    few_shapes: Path, tiny_models: tuple[str, str], tmp_path: Path
) -> None:
    pictures, out = hs.open_dataset(few_shapes), tmp_path / "run"
    plain = compare(tiny_models[:1], pictures, out=out, options=OPTIONS)
    assert plain.audit is None
    audited = compare(tiny_models[:1], pictures, out=out, options=replace(OPTIONS, audit="full"))
    assert audited.audit is not None
    assert audited.audit.deep is not None
    assert audited.audit.num_pictures == 45
    assert replace(audited, audit=None, doubted_labels=(), alike=()) == replace(
        plain, doubted_labels=(), alike=()
    )
    suspects = [each.id for each in audited.audit.deep.label_suspects]
    assert [each.id for each in audited.doubted_labels] == suspects[:24]
    assert load_comparison(out) == audited
    again = compare(tiny_models[:1], pictures, out=out, options=replace(OPTIONS, audit="full"))
    assert again == audited


def test_the_report_says_what_was_found(
    few_shapes: Path, tiny_models: tuple[str, str], tmp_path: Path
) -> None:
    options = replace(OPTIONS, audit="full")
    race = compare(tiny_models[:1], hs.open_dataset(few_shapes), out=tmp_path / "run", options=options)
    html = write_report(race, tmp_path / "report.html").read_text(encoding="utf-8")
    assert "What else was found" in html
    assert race.audit is not None
    assert race.audit.findings[0][:20] in html


def test_groups_stay_whole_in_the_folds(
    few_shapes: Path, tiny_models: tuple[str, str], tmp_path: Path
) -> None:
    """Of pictures that belong together none is predicted by a probe that saw another."""
    from headstart.compare.heads import draw_folds
    from headstart.data.scan import scan

    dataset = scan(hs.open_dataset(few_shapes)).dataset
    groups = tuple(f"{each[:-8]}{int(each[-8:-4]) // 3}" for each in dataset.ids)
    folds = draw_folds(replace(dataset, groups=groups), seed=0)
    for repeat in folds:
        fold_of: dict[str, set[int]] = {}
        for group, fold in zip(groups, repeat.tolist(), strict=True):
            fold_of.setdefault(group, set()).add(fold)
        assert all(len(each) == 1 for each in fold_of.values())
        assert len({fold for each in fold_of.values() for fold in each}) == 5
