"""The field of a race: candidates that are loaded once, timed, and fed with pictures."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from headstart.catalog.entry import ModelEntry
from headstart.compare.ahead import Ahead, embed_ahead, judge_ahead, run_ahead
from headstart.compare.attempts import Attempts
from headstart.compare.budget import Deadline, OutOfBudgetError, Purse
from headstart.compare.candidates import Candidate, missing_rows
from headstart.compare.evidence import embed_pictures, load_candidate, network_latency
from headstart.compare.heads import Judged
from headstart.compare.pictures import without_pictures
from headstart.compare.records import CompareOptions
from headstart.compare.schedule import draw_order
from headstart.compare.screening import ScreeningTask, Standing
from headstart.core.runner import Runner
from headstart.data import ImageDataset, Splits
from headstart.embed import Engine, PixelStore, Plan
from headstart.models import Classifier

Integers = npt.NDArray[np.int64]

MEETING_SHARE = 0.4
"""Of a budget in time, the most that downloads and first timings may take."""

_FIRST_PICTURES = 16  # embedded before anything is timed: the plan is checked on them
_TIMED_PICTURES = 32
_BYTES_PER_SECOND = 10e6  # of a download, as long as none was seen


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What a candidate costs here.

    Attributes:
        resolution: side of its input in pixels.
        feature_dim: D of its features.
        seconds: for one picture among many, without decoding; 0 where time is not what is spent.
        fixed_seconds: each time that it is fed, whatever the number of pictures.
        latency_ms: of one picture alone; None where nobody asked.
    """

    resolution: int
    feature_dim: int
    seconds: float = 0.0
    fixed_seconds: float = 0.0
    latency_ms: float | None = None


class Field:
    """The candidates of a race.

    Args:
        pictures: training and validation pictures.
        train: the training pictures.
        sides: int64 of shape (N,): shorter sides of pictures, for the resolution.
        options: device, precision, plan, limits.
        store: the pixels that all candidates share.
        purse: what may be spent.
        attempts: where failures go.
        runner: who runs the networks.
        progress: ends work when the time is over.

    Attributes:
        left_out: why, by name, of candidates that were not met.
    """

    def __init__(
        self,
        pictures: ImageDataset,
        train: ImageDataset,
        sides: Integers,
        *,
        options: CompareOptions,
        store: PixelStore,
        purse: Purse,
        attempts: Attempts,
        runner: Runner,
        progress: Deadline,
    ) -> None:
        self.left_out: dict[str, str] = {}
        self._pictures = pictures
        # The same pictures for every network, whatever the rungs: those that all of them see.
        beginning = draw_order(train.labels, seed=options.seed)[: max(64, 20 * train.num_classes)]
        self._first = train.select(beginning)
        self._sides = sides
        self._options = options
        self._store = store
        self._purse = purse
        self._attempts = attempts
        self._runner = runner
        self._progress = progress
        self._classifiers: dict[str, Classifier] = {}
        self._plans: dict[str, Plan] = {}
        self._judged: dict[str, Judged] = {}
        self._bytes_per_second = _BYTES_PER_SECOND
        self._fetched_bytes = 0

    def meet(self, candidates: Sequence[Candidate]) -> dict[str, Measured]:
        """Load and time candidates, those first whose weights are here, then the smallest first.

        Returns:
            By name, what each costs; those that failed or are left out are missing.
        """
        waiting = sorted(candidates, key=lambda each: (bool(missing_rows(each)), each.entry.num_macs))
        measured: dict[str, Measured] = {}
        missing = {row.name: weights_bytes(row) for each in waiting for row in missing_rows(each)}
        if missing:
            total = sum(missing.values()) / 1e9
            self._progress.note(f"weights to fetch: {len(missing)} files, {total:.1f} GB in all")
        limit = self._purse.budget.amount * (1 - MEETING_SHARE)
        for candidate in waiting:
            reason = self._objection(candidate, limit)
            if reason:
                self.left_out[candidate.name] = reason
                continue
            try:
                with self._progress.leaving(limit):
                    found = self._attempts.run(candidate, partial(self._measure, candidate))
            except OutOfBudgetError:
                self.left_out[candidate.name] = "the budget has no room to fetch and time it"
                continue
            if found is not None:
                measured[candidate.name] = found
        return measured

    def network(self, candidate: Candidate) -> tuple[Classifier, Plan | None]:
        """Return a candidate's network, loaded once, and its plan where one was found already."""
        return self._classifier(candidate), self._plans.get(candidate.name)

    def prepare(self, candidates: Sequence[Candidate], rows: Integers, splits: Splits) -> None:
        """Do as `embed_ahead`, and let workers fit the heads that they can reach.

        Args:
            candidates: the finalists.
            rows: int64 of shape (n,): the pictures of the splits that heads are fitted and judged on.
            splits: of these.
        """
        self._judged = judge_ahead(
            self.embed_ahead(candidates, rows),
            splits,
            seed=self._options.seed,
            runner=self._runner,
            progress=self._progress,
        )

    def judged(self, candidate: Candidate) -> Judged | None:
        """Return what a candidate's heads said, None where they were not fitted yet."""
        return self._judged.pop(candidate.name, None)

    def embed_ahead(self, candidates: Sequence[Candidate], rows: Integers) -> dict[str, Ahead]:
        """Put the features of several candidates into the cache, where that saves decoding.

        Returns:
            What is there now, by name; nothing where it saves none.
        """
        if self._runner.is_local:
            return {}

        def work() -> list[Ahead]:
            return embed_ahead(
                [self._classifier(each) for each in candidates],
                self._pictures.select(rows),
                options=self._options,
                runner=self._runner,
                progress=self._progress,
            )

        found = self._attempts.run_together(work) or ()
        ahead = dict(zip((each.name for each in candidates), found, strict=bool(found)))
        self._plans.update({name: each.plan for name, each in ahead.items()})
        return ahead

    def look_ahead(
        self, candidates: Sequence[Candidate], rows: Integers, *, num_train: int
    ) -> dict[str, Standing]:
        """Do as `embed_ahead`, and let workers look at what they can reach.

        Args:
            candidates: who sees pictures.
            rows: int64 of shape (T + V,): which, training pictures first.
            num_train: T.

        Returns:
            By name, how those stand that workers looked at.
        """
        ahead = self.embed_ahead(candidates, rows)
        carried = without_pictures(self._pictures.select(rows))
        tasks = {
            name: ScreeningTask(pictures=carried, features=each.features, num_train=num_train)
            for name, each in ahead.items()
            if each.features is not None
        }
        return run_ahead(tasks, "gathering evidence", runner=self._runner, progress=self._progress)

    def features(self, candidate: Candidate, rows: Integers) -> npt.NDArray[np.float32]:
        """Return a candidate's features of some pictures, float32 of shape (n, D)."""
        pictures = self._pictures.select(rows)
        classifier, plan = self.network(candidate)
        embedded = embed_pictures(
            classifier,
            [pictures],
            options=self._options,
            store=self._store,
            plan=plan,
            runner=self._runner,
            progress=self._progress,
        )
        return embedded.rows(pictures)

    def dismiss(self, name: str) -> None:
        """Forget a network that is not needed any more."""
        self._classifiers.pop(name, None)

    def _classifier(self, candidate: Candidate) -> Classifier:
        if candidate.name not in self._classifiers:
            self._classifiers[candidate.name] = load_candidate(
                candidate, self._first, self._sides, store=self._store, progress=self._progress
            )
        return self._classifiers[candidate.name]

    def _objection(self, candidate: Candidate, limit: float) -> str:
        """Return why a candidate is not even met, "" where nothing speaks against it."""
        if self._purse.is_clock and self._purse.left() < limit:
            return "the budget has no room to fetch and time it"
        sizes = [weights_bytes(row) for row in missing_rows(candidate)]
        if not all(sizes):
            return "nobody says how large its weights are: state size_bytes in its row, or fetch it first"
        size = sum(sizes)
        if self._fetched_bytes + size > self._options.max_download_bytes:
            allowed = self._options.max_download_bytes / 1e9
            return f"its {size / 1e6:.0f} MB would be more than the {allowed:g} GB that may be fetched"
        if self._purse.is_clock and size / self._bytes_per_second > self._purse.left() - limit:
            return f"the budget has no room to fetch its {size / 1e6:.0f} MB"
        return ""

    def _measure(self, candidate: Candidate) -> Measured:
        """Load a candidate and, where time is what is spent, time it."""
        self._load_timed(candidate)
        wants_latency = self._options.max_latency_ms is not None
        classifier, _ = self.network(candidate)
        resolution, feature_dim = classifier.preprocessing.input_size[0], classifier.feature_dim
        if not self._purse.is_clock and not wants_latency:
            return Measured(resolution=resolution, feature_dim=feature_dim)
        self._progress.start(f"timing {candidate.name}")
        started = time.perf_counter()
        first = self._first.select(range(min(_FIRST_PICTURES, len(self._first))))
        embedded = embed_pictures(
            classifier,
            [first],
            options=self._options,
            store=self._store,
            runner=self._runner,
            progress=self._progress,
        )
        fixed = time.perf_counter() - started
        plan = embedded.embeddings.plan
        (seconds,) = self._runner.map(partial(_seconds_per_picture, classifier), [plan])
        seconds /= self._runner.num_workers
        return Measured(
            resolution=resolution,
            feature_dim=feature_dim,
            seconds=seconds,
            fixed_seconds=max(0.0, fixed - seconds * len(first)),
            latency_ms=network_latency(classifier, plan, runner=self._runner) if wants_latency else None,
        )

    def _load_timed(self, candidate: Candidate) -> None:
        """Load a candidate; where its weights are fetched, learn how fast that goes."""
        size, started = sum(map(weights_bytes, missing_rows(candidate))), time.perf_counter()
        self._classifier(candidate)
        if size:
            self._fetched_bytes += size
            self._bytes_per_second = size / (time.perf_counter() - started)


def _seconds_per_picture(classifier: Classifier, plan: Plan) -> Iterator[float]:
    """Yield the time that a picture takes in a batch, without decoding."""
    engine, size = Engine(classifier, plan), min(plan.batch_size, _TIMED_PICTURES)
    side = classifier.preprocessing.input_size
    pixels = np.random.default_rng(0).integers(0, 256, (size, *side, 3), np.uint8)
    yield min(_time(engine, pixels) for _ in range(2)) / size


def _time(engine: Engine, pixels: npt.NDArray[np.uint8]) -> float:
    started = time.perf_counter()
    engine.features(pixels)
    return time.perf_counter() - started


def weights_bytes(entry: ModelEntry) -> int:
    """Return the size of a row's weights file, from its number of parameters where it is not stated; or 0."""
    return entry.weights.sources[0].size_bytes or 4 * entry.num_params
