"""What is done for several candidates at once, before each has its turn.

On this machine that is nothing: candidates come one after the other, and pixels are kept between them. On a
cluster a picture would be decoded for each of them, so those that a worker has room for see it together; and
where features lie in a store that workers read, the heads of several candidates are fitted at the same time.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from operator import methodcaller
from typing import Protocol, TypeVar

from headstart.compare.attempts import Attempts
from headstart.compare.candidates import Candidate, plan_options
from headstart.compare.heads import HeadsTask, Judged
from headstart.compare.pictures import list_parts
from headstart.compare.records import CompareOptions
from headstart.core.errors import StorageError
from headstart.core.progress import Progress
from headstart.core.runner import Runner
from headstart.data import ImageDataset, Splits
from headstart.data.dataset import concatenate
from headstart.embed import Plan, embed_all
from headstart.embed.store import StoredFeatures
from headstart.models import Classifier


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Ahead:
    """A network whose features of all pictures are in the cache.

    Attributes:
        classifier: the network.
        plan: in which it was run.
        features: where workers find them; None where there is no shared store.
    """

    classifier: Classifier
    plan: Plan
    features: StoredFeatures | None


def embed_ahead(
    classifiers: Sequence[Classifier],
    pictures: ImageDataset,
    *,
    options: CompareOptions,
    runner: Runner,
    progress: Progress,
) -> list[Ahead]:
    """Put the features of several networks into the cache, a picture decoded once for all of them."""
    found = embed_all(classifiers, pictures, options=plan_options(options), runner=runner, progress=progress)
    return [
        Ahead(
            classifier=classifier,
            plan=replace(each.plan, compiled=False),  # for a few pictures more it would not pay
            features=each.stored,
        )
        for classifier, each in zip(classifiers, found, strict=True)
    ]


Result = TypeVar("Result", covariant=True)


class StoredTask(Protocol[Result]):
    """Work on a candidate's features in a store, which a worker reads."""

    def run(self) -> Iterator[Result]:
        """Yield the result.

        Raises:
            StorageError: features are not in the store.
        """
        ...


def run_ahead(
    tasks: Mapping[str, StoredTask[Result]], what: str, *, runner: Runner, progress: Progress
) -> dict[str, Result]:
    """Return what workers find out about candidates, by name; nothing where they lack features.

    Args:
        tasks: by candidate.
        what: the work, in words.
        runner: of the workers.
        progress: told about every candidate.
    """
    if not tasks:
        return {}
    what = f"{what} on {len(tasks)} networks"
    progress.start(what, total=len(tasks), unit="networks")
    found = {}
    try:
        answers = runner.map(methodcaller("run"), tasks.values(), what=what)
        for name, answer in zip(tasks, answers, strict=True):
            found[name] = answer
            progress.advance()
    except StorageError as error:  # say, features that were in the cache before there was a store
        progress.note(f"the rest of this is done here, for workers lack features: {error}")
    return found


def judge_ahead(
    ahead: Mapping[str, Ahead], splits: Splits, *, seed: int, runner: Runner, progress: Progress
) -> dict[str, Judged]:
    """Let workers fit the heads of candidates whose features lie where they can read them; by name.

    Args:
        ahead: the networks.
        splits: what heads are fitted and judged on.
        seed: of the folds and the probe.
        runner: of the workers.
        progress: told about every candidate.
    """
    tasks = {
        name: HeadsTask.of(splits, each.features, seed=seed, device=each.plan.device)
        for name, each in ahead.items()
        if each.features is not None
    }
    return run_ahead(tasks, "training heads", runner=runner, progress=progress)


class Preparation:
    """The candidates of a comparison without a budget, as far as they are prepared.

    Args:
        load: gives a candidate's network.
        splits: the pictures. Test pictures go through networks, too: that looks at no label.
        options: device, precision and plan; the seed.
        runner: who runs networks and fits heads.
        attempts: where failures go.
        progress: told about everything.
    """

    def __init__(
        self,
        load: Callable[[Candidate], Classifier],
        splits: Splits,
        *,
        options: CompareOptions,
        runner: Runner,
        attempts: Attempts,
        progress: Progress,
    ) -> None:
        self._load = load
        self._splits = splits
        self._options = options
        self._runner = runner
        self._attempts = attempts
        self._progress = progress
        self._ahead: dict[str, Ahead] = {}
        self._judged: dict[str, Judged] = {}

    def prepare(self, candidates: Sequence[Candidate]) -> None:
        """Prepare candidates that a worker has room for together.

        One that cannot be loaded is noted as failed. Where one fails later, all are left to their turns.
        """
        if self._runner.is_local:
            return
        loaded = {each.name: self._attempts.run(each, partial(self._load, each)) for each in candidates}
        networks = {name: network for name, network in loaded.items() if network is not None}
        work = partial(
            embed_ahead,
            [*networks.values()],
            concatenate(list_parts(self._splits)),
            options=self._options,
            runner=self._runner,
            progress=self._progress,
        )
        found = self._attempts.run_together(work)
        if found is not None:
            self._ahead = dict(zip(networks, found, strict=True))
            self._judged = self._attempts.run_together(self._judge) or {}

    def network(self, candidate: Candidate) -> tuple[Classifier, Plan | None]:
        """Return a candidate's network, and its plan where it is prepared; once, for memory's sake."""
        ahead = self._ahead.pop(candidate.name, None)
        return (self._load(candidate), None) if ahead is None else (ahead.classifier, ahead.plan)

    def judged(self, candidate: Candidate) -> Judged | None:
        """Return what a candidate's heads said, None where they were not fitted yet."""
        return self._judged.pop(candidate.name, None)

    def _judge(self) -> dict[str, Judged]:
        return judge_ahead(
            self._ahead,
            self._splits,
            seed=self._options.seed,
            runner=self._runner,
            progress=self._progress,
        )
