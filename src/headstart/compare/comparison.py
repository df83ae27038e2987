"""`compare`: the main job, from candidates and pictures to a ranking, a trained model and its record."""

import datetime
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from headstart.audit import Audit, audit
from headstart.catalog.entry import ModelEntry
from headstart.compare.candidates import Candidate, find_entries, list_candidates, name_reference
from headstart.compare.choice import Choice, choose
from headstart.compare.evidence import (
    Embedded,
    Evidence,
    candidate_preprocessing,
    embed_candidate,
    gather,
    read_evidence,
    write_evidence,
)
from headstart.compare.final import FinalPredictions, look_at_test, nested_estimate, train_final
from headstart.compare.mistakes import confusion, most_confident_mistakes
from headstart.compare.pictures import all_pictures, list_parts, prepare_splits
from headstart.compare.provenance import (
    count_duplicates,
    describe_protocol,
    fingerprint,
    list_settings,
    list_versions,
)
from headstart.compare.records import MODEL_FOLDER, CompareOptions, Comparison, Look, Row
from headstart.compare.run_folder import COMPARISON_FILE, RunFolder, load_comparison
from headstart.core.errors import DataError, HeadstartError, InputError, StorageError
from headstart.core.machine import describe_machine
from headstart.core.progress import SILENT, Progress
from headstart.core.runner import Runner, SerialRunner
from headstart.data import ImageDataset, Splits
from headstart.data.dataset import concatenate
from headstart.data.split import Sample
from headstart.embed import PixelStore, PlanOptions, sample_sides
from headstart.models import Classifier, save_folder

# What may go wrong with one candidate without spoiling the others; a full disk spoils all.
# timm and torch raise the built-in ones where a network cannot take an input of some size.
_CANDIDATE_ERRORS = (HeadstartError, RuntimeError, ValueError, AssertionError, NotImplementedError)
_RUN_ERRORS = (StorageError, DataError)


def compare(
    models: Sequence[ModelEntry | str],
    pictures: Splits | ImageDataset | Sample,
    *,
    out: Path | str | None = None,
    options: CompareOptions = CompareOptions(),
    progress: Progress = SILENT,
    runner: Runner = SerialRunner(),
) -> Comparison:
    """Rank models on somebody's pictures, choose one, train it, and say how good it is.

    Args:
        models: rows of the catalogue, names or patterns; those with the same tensors run once.
        pictures: splits, or a data set or sample that is split with the seed of `options`. What was not
            scanned yet is read first: unreadable pictures are left out, and duplicates across the parts.
        out: the run's folder; None is "headstart-runs/NAME". A run that was killed goes on where it stopped.
        options: resolutions, fit, device, precision, reference, seed.
        progress: told about everything that takes time, and about every decision.
        runner: who runs the candidates.

    Returns:
        The comparison, as it is saved in the run's folder with the trained model.

    Raises:
        UnknownModelError: a name is not in the catalogue.
        DataError: the pictures cannot be used.
        InputError: an option cannot be used, or the folder holds another run.
        StorageError: the folder or the cache cannot be written.
    """
    _check(options)
    found = find_entries(models)
    candidates = list_candidates(found.entries, options)
    reference = name_reference(candidates, options.reference)
    if options.reference and not reference:
        raise InputError(
            f"the reference {options.reference!r} is not among the candidates",
            hint=f"candidates: {', '.join(each.name for each in candidates)}",
        )
    with _open_store(candidates, all_pictures(pictures), options) as store:
        splits = prepare_splits(
            pictures,
            seed=options.seed,
            max_unreadable=options.max_unreadable,
            keeper=store,
            progress=progress,
        )
        folder = RunFolder(default_folder(out, splits), list_settings(candidates, splits, reference, options))
        with folder.hold():
            race = _Race(candidates, splits, reference, options, folder, store, progress)
            comparison = race.run(runner, found.notes)
            if options.audit == "full" and comparison.chosen and comparison.audit is None:
                found_wrong = _audit(comparison, splits, options, progress)
                comparison = folder.save(replace(comparison, audit=found_wrong))
            return comparison


def _audit(comparison: Comparison, splits: Splits, options: CompareOptions, progress: Progress) -> Audit:
    """Look at all pictures and labels, those of the test part too: the choice has been made."""
    return audit(
        concatenate(list_parts(splits)),
        classifier=comparison.load_best(),
        options=PlanOptions(device=options.device, precision=options.precision, plan=options.plan),
        seed=options.seed,
        progress=progress,
    )


def _check(options: CompareOptions) -> None:
    """Raise InputError where an option names nothing."""
    if not options.resolutions:
        raise InputError("no resolution was given", hint="give sides in pixels, 'native' or 'auto'")
    for name in ("fits", "feature_points", "batch_norms"):
        if not getattr(options, name):
            raise InputError(f"no value was given for {name}", hint="leave it out for the usual one")


def _open_store(
    candidates: Sequence[Candidate], pictures: ImageDataset, options: CompareOptions
) -> PixelStore:
    """Return room for the pixels that the candidates will need, as far as the catalogue knows them."""
    sides = sample_sides(pictures)
    kinds = []
    for candidate in candidates:
        with suppress(InputError):  # a resolution that this one does not take: told when it runs
            native = candidate.entry.weights.preprocessing
            kinds.append(candidate_preprocessing(candidate, sides, native=native))
    return PixelStore(kinds, decoder="exact" if options.plan == "exact" else "fast")


class _Race:
    """One comparison on its way; the decisions it takes are kept in order."""

    def __init__(
        self,
        candidates: Sequence[Candidate],
        splits: Splits,
        reference: str,
        options: CompareOptions,
        folder: RunFolder,
        store: PixelStore,
        progress: Progress,
    ) -> None:
        self._candidates = candidates
        self._splits = splits
        self._selection = replace(splits, test=None)  # all that the choice may rest on
        self._reference = reference
        self._options = options
        self._folder = folder
        self._store = store
        self._progress = progress
        self._sides = sample_sides(concatenate(list_parts(splits)))
        self._decisions: list[str] = []
        self._started = datetime.datetime.now(datetime.UTC)
        self._clock = time.perf_counter()

    def run(self, runner: Runner, notes: Sequence[str]) -> Comparison:
        """Run what is not done yet, choose, look at the test set, and save."""
        before = self._earlier()
        if before is not None and all(not row.error for row in before.rows):
            self._progress.note(f"{self._folder.path} holds this comparison already; nothing to do")
            return before
        for note in notes:
            self._decide(note)
        self._decide(f"reference, named before any evidence: {self._reference or 'none'}")
        outcomes = list(runner.map(self._try, self._candidates))
        evidence = [each for each in outcomes if isinstance(each, Evidence)]
        failed = [each for each in outcomes if isinstance(each, Row)]
        if not evidence:
            return self._folder.save(self._record(failed))
        labels = (self._selection.val or self._selection.train).labels
        choice = choose(evidence, labels, seed=self._options.seed)
        self._decide(f"chosen: {choice.reason}")
        return self._finish(evidence, choice, failed, before.looks if before else ())

    def _earlier(self) -> Comparison | None:
        there = (self._folder.path / COMPARISON_FILE).is_file()
        return load_comparison(self._folder.path) if there else None

    def _decide(self, text: str) -> None:
        self._decisions.append(text)
        self._folder.log(text)

    def _try(self, candidate: Candidate) -> Evidence | Row:
        """Return a candidate's evidence, or its row with the error."""
        kept = self._folder.load_piece(candidate.name)
        if kept is not None:
            self._decide(f"{candidate.name}: evidence kept from an earlier start")
            return read_evidence(candidate, *kept)
        try:
            embedded = self._embed(candidate)
            evidence = gather(
                candidate, embedded, self._selection, seed=self._options.seed, progress=self._progress
            )
        except _RUN_ERRORS:
            raise
        except _CANDIDATE_ERRORS as error:
            return self._failed(candidate, error)
        self._decide(f"{candidate.name}: {evidence.resolution} px, {evidence.plan}")
        self._folder.save_piece(candidate.name, *write_evidence(evidence))
        return evidence

    def _embed(self, candidate: Candidate) -> Embedded:
        return embed_candidate(
            candidate,
            self._splits,
            self._sides,
            options=self._options,
            store=self._store,
            progress=self._progress,
        )

    def _failed(self, candidate: Candidate, error: Exception) -> Row:
        message = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        self._decide(f"{candidate.name}: failed: {message}")
        self._progress.note(f"{candidate.name} failed: {message}")
        return Row(
            name=candidate.name,
            model=candidate.entry.name,
            entry=candidate.entry,
            resolution=0,
            error=message,
            hint=getattr(error, "hint", ""),
        )

    def _finish(
        self, evidence: Sequence[Evidence], choice: Choice, failed: Sequence[Row], looks: Sequence[Look]
    ) -> Comparison:
        winner = evidence[choice.best]
        final, classifier, looks = self._estimate(evidence, winner, looks)
        rivals = [each for each in evidence if each.candidate.name == self._reference and each is not winner]
        if self._splits.test is not None and rivals:
            _, _, looks = self._look(rivals[0], "reference", looks)
        comparison = replace(
            self._record([*choice.rows, *failed]),
            chosen=winner.candidate.name,
            reason=choice.reason,
            looks=tuple(looks),
            final=final.evaluation,
            confusion=confusion(final),
            mistakes=most_confident_mistakes(final, self._folder.path),
            preprocessing=classifier.preprocessing,
            temperature=classifier.temperature,
            digests=self._digests(evidence),
        )
        save_folder(classifier, self._folder.path / MODEL_FOLDER, summary=_summary(comparison))
        return self._folder.save(comparison)

    def _estimate(
        self, evidence: Sequence[Evidence], winner: Evidence, looks: Sequence[Look]
    ) -> tuple[FinalPredictions, Classifier, Sequence[Look]]:
        """Return what the final estimate rests on, the trained winner, and the looks with this one added."""
        if self._splits.test is not None:
            return self._look(winner, "chosen", looks)
        self._decide("no locked test set: the estimate is nested cross-validation of the whole choice")
        final = nested_estimate(evidence, self._splits.train, seed=self._options.seed)
        return final, self._train(winner)[0], looks

    def _look(
        self, evidence: Evidence, role: str, looks: Sequence[Look]
    ) -> tuple[FinalPredictions, Classifier, Sequence[Look]]:
        """Train a candidate and score it on the test set; a look taken before is not counted again."""
        classifier, embedded = self._train(evidence)
        test = self._splits.test
        if test is None:
            raise InputError("these splits have no test set to look at")
        final = look_at_test(classifier, embedded, test, seed=self._options.seed)
        look = Look(model=evidence.candidate.name, role=role, evaluation=final.evaluation)
        if (look.model, look.role) in [(each.model, each.role) for each in looks]:
            return final, classifier, looks
        self._decide(f"look {len(looks) + 1} at the test set: {look.model} ({role})")
        return final, classifier, (*looks, look)

    def _train(self, evidence: Evidence) -> tuple[Classifier, Embedded]:
        embedded = self._embed(evidence.candidate)
        self._progress.start(f"training {evidence.candidate.name} on all pictures that are not locked away")
        # A validation part is a fifth of the pictures: with it, the best strength is hardly another.
        held_out = self._selection.val is not None
        classifier = train_final(
            embedded,
            self._selection,
            evidence.probabilities,
            regularization=evidence.regularization if held_out else None,
            seed=self._options.seed,
        )
        return classifier, embedded

    def _digests(self, evidence: Sequence[Evidence]) -> dict[str, str]:
        return {
            "settings": self._folder.digest,
            "pictures": fingerprint(self._splits),
            **{each.candidate.name: each.backbone for each in evidence},
        }

    def _record(self, rows: Sequence[Row]) -> Comparison:
        """Return the record of a comparison without a winner."""
        everything = concatenate(list_parts(self._splits))
        return Comparison(
            dataset_name=everything.name,
            dataset_location=Path(everything.location).name or everything.name,
            fingerprint=fingerprint(self._splits),
            class_names=everything.class_names,
            class_counts=tuple(int(count) for count in everything.class_counts()),
            rows=tuple(rows),
            chosen="",
            reason="No candidate could be trained.",
            reference=self._reference,
            looks=(),
            final=None,
            confusion=(),
            mistakes=(),
            excluded=self._splits.excluded,
            num_duplicates=count_duplicates(everything),
            protocol=describe_protocol(self._splits),
            preprocessing=None,
            temperature=1.0,
            decisions=tuple(self._decisions),
            command=self._options.command,
            versions=list_versions(),
            machine=describe_machine(),
            digests={"settings": self._folder.digest, "pictures": fingerprint(self._splits)},
            seconds=time.perf_counter() - self._clock,
            started=self._started.isoformat(timespec="seconds"),
        )


def default_folder(out: Path | str | None, splits: Splits) -> Path:
    """Return the folder of a run: the one that was named, else one that bears the data set's name."""
    return Path(out) if out is not None else Path("headstart-runs") / splits.train.name


def _summary(comparison: Comparison) -> str:
    """Return what the model's card says about how good it is."""
    if comparison.final is None:
        return ""
    accuracy = comparison.final.accuracy
    how = comparison.protocol.estimate
    return (
        f"Right on {accuracy.value:.1%} of {accuracy.n} pictures ({how}; 95 % interval {accuracy.low:.1%} to "
        f"{accuracy.high:.1%}). Chosen among {len(comparison.rows)} candidates. {comparison.reason}"
    )
