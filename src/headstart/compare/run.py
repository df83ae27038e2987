"""A comparison on pictures that have been read, from candidates to a ranking and a trained model."""

import datetime
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from headstart.audit import audit
from headstart.compare.advice import advise
from headstart.compare.ahead import Preparation
from headstart.compare.attempts import Attempts
from headstart.compare.baseline import Baseline, pixel_baseline
from headstart.compare.budget import Purse, tuning_seconds
from headstart.compare.calibration import measure_calibration
from headstart.compare.candidates import Candidate, missing_rows, plan_options
from headstart.compare.choice import Choice, choose
from headstart.compare.contest import Contest
from headstart.compare.evidence import (
    Embedded,
    Evidence,
    embed_pictures,
    gather,
    load_candidate,
    read_evidence,
    write_evidence,
)
from headstart.compare.exhibits import (
    audited_labels,
    doubted_labels,
    near_ties,
    nearly_the_same,
    same_content,
)
from headstart.compare.facts import card_facts
from headstart.compare.field import Field
from headstart.compare.final import (
    FinalPredictions,
    find_rejection,
    judge_on,
    know_training_pictures,
    look_at_test,
    nested_estimate,
    train_final,
)
from headstart.compare.heads import draw_folds
from headstart.compare.keeping import keep_neighbours
from headstart.compare.metric import MetricChoice, choose_metric
from headstart.compare.mistakes import confusion, most_confident_mistakes
from headstart.compare.observed import observe
from headstart.compare.pictures import list_parts
from headstart.compare.provenance import (
    count_duplicates,
    describe_protocol,
    fingerprint,
    list_settings,
    list_versions,
)
from headstart.compare.records import (
    MODEL_FOLDER,
    Calibration,
    CompareOptions,
    Comparison,
    DoubtedLabel,
    Look,
    Row,
    Stopped,
    Tuning,
    TuningSummary,
)
from headstart.compare.rejection_words import familiarity_sentence, rejection_sentence
from headstart.compare.run_folder import COMPARISON_FILE, RunFolder, load_comparison
from headstart.compare.tripwires import find_alarms
from headstart.compare.tuned import Tuner, count_passes, hold_out, tuned_candidate
from headstart.core.errors import InputError
from headstart.core.machine import describe_machine
from headstart.core.progress import Progress
from headstart.core.runner import Runner
from headstart.data import ImageDataset, Splits
from headstart.data.dataset import concatenate
from headstart.embed import PixelStore, fitting_groups, sample_sides
from headstart.evaluate import Rejection
from headstart.models import Classifier, save_folder
from headstart.weights import discard_fetched


def run_on(
    splits: Splits,
    candidates: Sequence[Candidate],
    *,
    notes: Sequence[str],
    reference: str,
    purse: Purse | None,
    out: Path | str | None,
    options: CompareOptions,
    store: PixelStore,
    decode_seconds: float,
    runner: Runner,
    progress: Progress,
) -> Comparison:
    """Compare candidates on pictures that have been read; a run that was killed goes on where it stopped.

    Args:
        splits: the pictures.
        candidates: who runs.
        notes: what there was to say about the names that they were found by.
        reference: name of the candidate that was named before any evidence, "" for none.
        purse: the budget, None for none.
        out: the run's folder; None is "headstart-runs/NAME".
        options: as `compare` takes them.
        store: the pixels that all candidates share.
        decode_seconds: what decoding costs a picture, where it is done again for every network; else 0.
        runner: who runs the networks.
        progress: told about everything that takes time, and about every decision.

    Raises:
        HeadstartError: all that `compare` raises but for what comes of names and options.
        Stopped: Ctrl-C; it holds the ranking so far.
    """
    if options.tuning is not None:
        splits = hold_out(splits, seed=options.seed)
    folder = RunFolder(default_folder(out, splits), list_settings(candidates, splits, reference, options))
    with folder.hold():
        folder.note_location(splits.train.location)
        comparison = _Run(
            candidates, splits, reference, options, folder, store, decode_seconds, runner, progress
        ).run(notes, purse)
        if options.audit == "full" and comparison.chosen and comparison.audit is None:
            comparison = folder.save(_audited(comparison, splits, options, folder.path, progress))
        if options.keep_neighbours and comparison.chosen:
            keep_neighbours(comparison, list_parts(replace(splits, test=None)), options, progress=progress)
        return comparison


def _audited(
    comparison: Comparison, splits: Splits, options: CompareOptions, folder: Path, progress: Progress
) -> Comparison:
    """Look at all pictures and labels, those of the test part too: the choice has been made."""
    everything = concatenate(list_parts(splits))
    found = audit(
        everything,
        classifier=comparison.load_best(),
        options=plan_options(options),
        seed=options.seed,
        progress=progress,
    )
    return replace(
        comparison,
        audit=found,
        doubted_labels=audited_labels(found, everything, folder),
        alike=(*comparison.alike, *nearly_the_same(found, everything, folder)),
    )


class _Run:
    """One comparison on its way; the decisions it takes are kept in order."""

    def __init__(
        self,
        candidates: Sequence[Candidate],
        splits: Splits,
        reference: str,
        options: CompareOptions,
        folder: RunFolder,
        store: PixelStore,
        decode_seconds: float,
        runner: Runner,
        progress: Progress,
    ) -> None:
        self._candidates = candidates
        self._all = splits
        self._fingerprint = fingerprint(splits)
        self._splits = splits  # what the finalists see; all, unless a budget is too small for that
        self._reference = reference
        self._options = options
        self._folder = folder
        self._store = store
        self._decode_seconds = decode_seconds
        self._runner = runner
        self._progress = progress
        self._sides = sample_sides(concatenate(list_parts(splits)))
        self._attempts = Attempts(self._tell)
        self._evidence: list[Evidence] = []
        self._last: tuple[tuple[str, list[ImageDataset]], Embedded] | None = None
        self._tunings: list[TuningSummary] = []
        self._contest: Contest | None = None
        self._preparation = Preparation(
            partial(load_candidate, train=splits.train, sides=self._sides, store=store, progress=progress),
            splits,
            options=options,
            runner=runner,
            attempts=self._attempts,
            progress=progress,
        )
        self._pixels: Baseline | None = None
        self._pixels_known = False
        self._decisions: list[str] = []
        self._started = datetime.datetime.now(datetime.UTC)
        self._clock = time.perf_counter()

    @property
    def _networks(self) -> Preparation | Field:
        """Who has the candidates' networks, and what workers found out about them."""
        return self._preparation if self._contest is None else self._contest.field

    @property
    def _selection(self) -> Splits:
        """All that the choice may rest on."""
        return replace(self._splits, test=None)

    @property
    def _metric(self) -> MetricChoice:
        """What candidates are ranked by: the sizes of the classes decide."""
        selection = concatenate(list_parts(replace(self._all, test=None)))
        return choose_metric(selection.class_counts().tolist())

    def run(self, notes: Sequence[str], purse: Purse | None) -> Comparison:
        """Run what is not done yet, choose, look at the test set, and save.

        Raises:
            Stopped: Ctrl-C came when some candidates had results.
        """
        before = self._earlier()
        if before is not None and all(not row.error for row in before.rows):
            self._progress.note(f"{self._folder.path} holds this comparison already; nothing to do")
            return before
        for note in notes:
            self._decide(note)
        self._decide(f"reference, named before any evidence: {self._reference or 'none'}")
        fetched = self._folder.note_once(
            "fetched", sorted({row.name for each in self._candidates for row in missing_rows(each)})
        )
        try:
            if purse is None:
                self._gather_all()
            else:
                self._race(purse)
        except KeyboardInterrupt as stop:
            raise Stopped(self._so_far()) from stop
        if not self._evidence:
            return self._folder.save(self._record(self._left_rows()))
        if self._options.tuning is not None:
            self._tune_finalists(self._options.tuning, purse)
        self._decide(self._metric.reason)
        choice = self._choose()
        self._decide(f"chosen: {choice.reason}")
        for line in self._runner.describe():
            self._decide(line)
        comparison = self._finish(choice, before.looks if before else ())
        if not self._options.keep_weights:
            self._discard(fetched, comparison.chosen)
        return comparison

    def _discard(self, fetched: Sequence[str], chosen: str) -> None:
        """Delete the weights of the rows that were fetched, but for those that the chosen candidate needs."""
        kept = {row.name for each in self._candidates if each.name == chosen for row in each.entry.singles}
        rows = {row.name: row for each in self._candidates for row in each.entry.singles}
        unwanted = [row for name, row in rows.items() if name in fetched and name not in kept]
        freed = sum(discard_fetched(row, progress=self._progress) for row in unwanted)
        if freed:
            self._progress.note(f"deleted {freed / 1e6:.0f} MB of weights that were fetched and not chosen")

    def _earlier(self) -> Comparison | None:
        there = (self._folder.path / COMPARISON_FILE).is_file()
        return load_comparison(self._folder.path) if there else None

    def _decide(self, text: str) -> None:
        self._decisions.append(text)
        self._folder.log(text)

    def _tell(self, text: str) -> None:
        """Log a decision that the user should hear of at once."""
        self._decide(text)
        self._progress.note(text)

    def _race(self, purse: Purse) -> None:
        """Find the finalists under a budget, and gather their evidence."""
        self._contest = Contest(
            self._candidates,
            self._all,
            self._sides,
            options=self._options,
            store=self._store,
            purse=purse,
            decode_seconds=self._decode_seconds,
            runner=self._runner,
            folder=self._folder,
            attempts=self._attempts,
            tell=self._tell,
            progress=self._progress,
        )

        def gather(candidate: Candidate, splits: Splits, progress: Progress) -> None:
            self._splits = splits
            self._gather(candidate, progress)

        self._contest.run(gather)

    def _gather_all(self) -> None:
        """Gather the evidence of all candidates.

        Those that a worker would have room for together are prepared together.
        """
        for group in fitting_groups([each.entry.num_params for each in self._candidates]):
            candidates = self._candidates[group]
            self._preparation.prepare(
                [each for each in candidates if self._folder.load_piece(each.name) is None]
            )
            for each in candidates:
                if each.name not in self._attempts.failed:
                    self._gather(each, self._progress)

    def _gather(self, candidate: Candidate, progress: Progress) -> None:
        """Gather a candidate's evidence, or note its error."""
        kept = self._folder.load_piece(candidate.name)
        if kept is not None:
            self._decide(f"{candidate.name}: evidence kept from an earlier start")
            self._evidence.append(read_evidence(candidate, *kept))
            return
        found = self._attempts.run(candidate, lambda: self._new_evidence(candidate, progress))
        if found is not None:
            self._decide(f"{candidate.name}: {found.resolution} px, {found.plan}")
            for alarm in found.alarms:
                self._tell(f"{candidate.name}: warning: {alarm.text}")
            self._folder.save_piece(candidate.name, *write_evidence(found))
            self._evidence.append(found)

    def _new_evidence(self, candidate: Candidate, progress: Progress) -> Evidence:
        # Without a budget the test pictures go through at once, too: that looks at no label.
        parts = list_parts(self._splits if self._contest is None else self._selection)
        embedded, seed = self._embed(candidate, parts, progress), self._options.seed
        found = gather(
            candidate,
            embedded,
            self._selection,
            judged=self._networks.judged(candidate),
            seed=seed,
            runner=self._runner,
            progress=progress,
        )
        signs = observe(
            found, embedded, self._selection, pixels=self._pixel_baseline(), store=self._store, seed=seed
        )
        return replace(found, alarms=find_alarms(signs))

    def _tune_finalists(self, tuning: Tuning, purse: Purse | None) -> None:
        """Fine-tune the best candidates, and add what comes of it to the evidence.

        Raises:
            Stopped: Ctrl-C.
        """
        finalists = self._most_promising(tuning.max_candidates)
        if self._contest is not None:
            self._contest.release_for_tuning()
        for number, evidence in enumerate(finalists):
            candidate, num_left = tuned_candidate(evidence.candidate), len(finalists) - number
            tuner = self._tuner_within(tuning, purse, num_left=num_left)
            if tuner is None:
                self._tell(f"{candidate.name}: not trained: the budget has no room for one epoch")
                continue
            seconds = tuning_seconds(tuning, purse, num_left=num_left)
            try:
                found = self._attempts.run(candidate, partial(self._tune, tuner, evidence, seconds))
            except KeyboardInterrupt as stop:
                raise Stopped(self._so_far()) from stop
            if found is not None:
                self._evidence.append(found)

    def _new_tuner(self, tuning: Tuning) -> Tuner:
        return Tuner(
            recipe=tuning.recipe_for(self._splits.train.class_counts()),
            tuning=tuning,
            options=self._options,
            folder=self._folder.path,
            store=self._store,
            progress=self._progress,
        )

    def _tuner_within(self, tuning: Tuning, purse: Purse | None, *, num_left: int) -> Tuner | None:
        """Return what fine-tunes the next of so many candidates; None where the pictures are used up.

        Time is no matter of epochs: it ends a fine-tuning wherever that is.
        """
        tuner = self._new_tuner(tuning)
        if purse is None or purse.is_clock:
            return tuner
        return tuner.within((purse.left() - len(self._splits.test or ())) / num_left, self._selection)

    def _most_promising(self, count: int) -> list[Evidence]:
        """Return the candidates to fine-tune: the chosen one first, then the others that are tied with it."""
        choice = self._choose()
        best = self._evidence[choice.best]
        tied = [row.name for row in choice.rows if row.tied and row.name != best.candidate.name]
        by_name = {each.candidate.name: each for each in self._evidence}
        return [best, *(by_name[name] for name in tied)][:count]

    def _tune(self, tuner: Tuner, evidence: Evidence, seconds: float) -> Evidence:
        """Fine-tune a candidate, unless an earlier start did, and keep what is to be told of it."""
        candidate, splits = tuned_candidate(evidence.candidate), self._selection
        kept = self._folder.load_piece(candidate.name)
        if kept is None:
            found = self._new_tuned_evidence(tuner, evidence, seconds)
        else:
            self._decide(f"{candidate.name}: evidence kept from an earlier start")
            found = read_evidence(candidate, *kept)
        summary = tuner.summarize(found, evidence, splits, metric=self._metric.metric)
        if self._contest is not None:
            self._contest.charge(candidate, count_passes(splits, num_epochs=len(summary.history.epochs)))
        self._tunings.append(summary)
        return found

    def _new_tuned_evidence(self, tuner: Tuner, evidence: Evidence, seconds: float) -> Evidence:
        embedded = self._embed(evidence.candidate, list_parts(self._selection), self._progress)
        found, happened = tuner.tune(evidence, embedded, self._selection, seconds=seconds)
        self._decide(f"{found.candidate.name}: {happened}")
        self._folder.save_piece(found.candidate.name, *write_evidence(found))
        tuner.forget(found.candidate)
        return found

    def _pixel_baseline(self) -> Baseline | None:
        """Return how right a probe on shrunk pictures is, found once."""
        if not self._pixels_known:
            self._progress.start("training a head on the pixels, for comparison")
            splits, seed = self._selection, self._options.seed
            folds = None if splits.val is not None else draw_folds(splits.train, seed=seed)[0]
            self._pixels = pixel_baseline(splits, folds=folds, seed=seed, store=self._store)
            self._pixels_known = True
        return self._pixels

    def _embed(self, candidate: Candidate, parts: Sequence[ImageDataset], progress: Progress) -> Embedded:
        """Return a candidate's network and features; the last ones are still there when asked for again."""
        what = candidate.name, list(parts)
        if self._last is not None and self._last[0] == what:
            return self._last[1]
        self._last = None  # before there are others: they may be large
        classifier, plan = self._networks.network(candidate)
        embedded = embed_pictures(
            classifier,
            parts,
            options=self._options,
            store=self._store,
            plan=plan,
            runner=self._runner,
            progress=progress,
        )
        self._last = what, embedded
        return embedded

    def _choose(self) -> Choice:
        val, train, seed = self._selection.val, self._selection.train, self._options.seed
        folds = draw_folds(train, seed=seed) if val is None else None
        return choose(
            self._evidence,
            (val or train).labels,
            train_labels=None if val is None else train.labels,
            metric=self._metric.metric,
            folds=folds,
            seed=seed,
        )

    def _left_rows(self) -> list[Row]:
        """Return the rows of candidates without evidence: those that left a race, then those that failed."""
        left = self._contest.rows() if self._contest is not None else []
        return [*left, *self._attempts.failed.values()]

    def _so_far(self) -> Comparison:
        """Return the ranking as far as it is known."""
        ranked = self._choose().rows if self._evidence else ()
        reason = "Stopped before the end: this is the ranking so far."
        return replace(self._record([*ranked, *self._left_rows()]), reason=reason)

    def _finish(self, choice: Choice, looks: Sequence[Look]) -> Comparison:
        evidence = self._evidence
        winner = evidence[choice.best]
        final, classifier, embedded, looks = self._estimate(winner, looks)
        rivals = [each for each in evidence if each.candidate.name == self._reference and each is not winner]
        if self._splits.test is not None and rivals and self._may_look(rivals[0].candidate):
            *_, looks = self._look(rivals[0], "reference", looks)
        rejection = self._reject(winner, classifier, final)
        self._know_training_pictures(winner, classifier, embedded)
        self._progress.start("looking at what else could be had, and at what more pictures would do")
        advice = advise(
            evidence, choice, embedded, self._selection, metric=self._metric, seed=self._options.seed
        )
        if self._tunings:  # then it is known, and no rule of thumb is needed
            advice = replace(advice, fine_tuning=None)
        comparison = replace(
            self._record([*choice.rows, *self._left_rows()]),
            chosen=winner.candidate.name,
            reason=choice.reason,
            looks=tuple(looks),
            final=final.evaluation,
            confusion=confusion(final),
            mistakes=most_confident_mistakes(final, classifier, self._folder.path),
            near_ties=near_ties(final, self._folder.path),
            doubted_labels=self._doubted_labels(winner, final),
            alike=same_content(concatenate(list_parts(self._all)), self._folder.path),
            calibration=self._calibration(winner, classifier, final),
            preprocessing=classifier.preprocessing,
            temperature=classifier.temperature,
            rejection=rejection,
            digests=self._digests(evidence),
            advice=advice,
        )
        save_folder(classifier, self._folder.path / MODEL_FOLDER, facts=card_facts(comparison))
        return self._folder.save(comparison)

    def _reject(self, winner: Evidence, classifier: Classifier, final: FinalPredictions) -> Rejection:
        """Tell the trained winner below which confidence its answer is "unknown"."""
        labels = (self._selection.val or self._selection.train).labels
        tested = final if self._splits.test is not None else None
        found = find_rejection(classifier, labels, winner.probabilities, tested)
        classifier.threshold = found.threshold
        self._decide(rejection_sentence(found))
        return found

    def _know_training_pictures(self, winner: Evidence, classifier: Classifier, embedded: Embedded) -> None:
        """Let the trained winner know its pictures; a tuned network, those that it was not fitted on."""
        parts = list_parts(self._selection)
        known = concatenate(parts[1:] if winner.candidate.tuned_from else parts)
        know_training_pictures(classifier, embedded, known, seed=self._options.seed)
        self._decide(familiarity_sentence(classifier.familiarity))

    def _doubted_labels(self, winner: Evidence, final: FinalPredictions) -> tuple[DoubtedLabel, ...]:
        """Return labels in doubt among the pictures that the winner was judged on."""
        judged = [(final.dataset, final.probabilities[0])]
        if self._splits.test is not None:
            judged.append((self._selection.val or self._selection.train, winner.probabilities[0]))
        return doubted_labels(judged, self._folder.path)

    def _calibration(self, winner: Evidence, classifier: Classifier, final: FinalPredictions) -> Calibration:
        is_fresh = self._splits.test is not None
        return measure_calibration(
            final.dataset.labels,
            final.probabilities[0],
            classifier.temperature,
            is_scaled=is_fresh or bool(winner.candidate.tuned_from),
            is_fresh=is_fresh,
        )

    def _estimate(
        self, winner: Evidence, looks: Sequence[Look]
    ) -> tuple[FinalPredictions, Classifier, Embedded, Sequence[Look]]:
        """Return what the final estimate rests on, the trained winner, its features, and the looks so far."""
        if self._splits.test is not None:
            return self._look(winner, "chosen", looks)
        if self._splits.val is not None:
            self._decide("no locked test set: the estimate is that of validation, which is too good")
            return judge_on(self._splits.val, winner), *self._train(winner), looks
        self._decide("no locked test set: the estimate is nested cross-validation of the whole choice")
        final = nested_estimate(self._evidence, self._splits.train, seed=self._options.seed)
        return final, *self._train(winner), looks

    def _look(
        self, evidence: Evidence, role: str, looks: Sequence[Look]
    ) -> tuple[FinalPredictions, Classifier, Embedded, Sequence[Look]]:
        """Train a candidate and score it on the test set; a look taken before is not counted again."""
        test = self._splits.test
        if test is None:
            raise InputError("these splits have no test set to look at")
        classifier, embedded = self._train(evidence)
        if self._contest is not None:
            self._contest.charge(evidence.candidate, len(test))
        final = look_at_test(classifier, embedded, test, seed=self._options.seed)
        look = Look(model=evidence.candidate.name, role=role, evaluation=final.evaluation)
        if (look.model, look.role) in [(each.model, each.role) for each in looks]:
            return final, classifier, embedded, looks
        self._decide(f"look {len(looks) + 1} at the test set: {look.model} ({role})")
        return final, classifier, embedded, (*looks, look)

    def _may_look(self, reference: Candidate) -> bool:
        """Return whether the budget has room for the reference's look at the test set."""
        test = self._splits.test
        if test is None or self._contest is None or self._contest.can_look(reference, len(test)):
            return True
        self._decide("the budget has no room for the reference's look at the test set")
        return False

    def _train(self, evidence: Evidence) -> tuple[Classifier, Embedded]:
        if evidence.candidate.tuned_from and self._options.tuning is not None:
            classifier = self._new_tuner(self._options.tuning).load(evidence.candidate)
            judged = list_parts(self._splits)[1:]
            return classifier, embed_pictures(
                classifier,
                judged,
                options=self._options,
                store=self._store,
                runner=self._runner,
                progress=self._progress,
            )
        embedded = self._embed(evidence.candidate, list_parts(self._splits), self._progress)
        self._progress.start(f"training {evidence.candidate.name} on all pictures that are not locked away")
        # A validation part is a fifth of the pictures: with it, the best strength is hardly another.
        held_out = self._selection.val is not None
        classifier = train_final(
            embedded,
            self._selection,
            evidence.probabilities,
            regularization=evidence.regularization if held_out else None,
            start=evidence.head if held_out else None,
            seed=self._options.seed,
        )
        return classifier, embedded

    def _digests(self, evidence: Sequence[Evidence]) -> dict[str, str]:
        return {
            "settings": self._folder.digest,
            "pictures": self._fingerprint,
            **{each.candidate.name: each.backbone for each in evidence},
        }

    def _record(self, rows: Sequence[Row]) -> Comparison:
        """Return the record of a comparison without a winner."""
        everything = concatenate(list_parts(self._all))
        return Comparison(
            dataset_name=everything.name,
            dataset_location=Path(everything.location).name or everything.name,
            fingerprint=self._fingerprint,
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
            excluded=self._all.excluded,
            num_duplicates=count_duplicates(everything),
            protocol=describe_protocol(self._splits),
            preprocessing=None,
            temperature=1.0,
            decisions=tuple(self._decisions),
            command=self._options.command,
            versions=list_versions(),
            machine=describe_machine(),
            digests={"settings": self._folder.digest, "pictures": self._fingerprint},
            seconds=time.perf_counter() - self._clock,
            started=self._started.isoformat(timespec="seconds"),
            race=self._contest.summary() if self._contest is not None else None,
            tunings=tuple(self._tunings),
        )


def default_folder(out: Path | str | None, splits: Splits) -> Path:
    """Return the folder of a run: the one that was named, else one that bears the data set's name."""
    return Path(out) if out is not None else Path("headstart-runs") / splits.train.name
