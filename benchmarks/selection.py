"""Whether headstart's race finds the candidate that an exhaustive search finds, and what it costs.

    python benchmarks/data_sets.py WORK CIFAR10.zip packages
    python benchmarks/zoo.py WORK
    python benchmarks/selection_features.py WORK
    python benchmarks/selection.py WORK --json benchmarks/results/selection.json \
        --svg benchmarks/results/selection.svg

A task is a labelled part of a data set, drawn by a seed: some classes of it, some pictures, four fifths of
them to train on. The exhaustive search fits a linear probe of every candidate on the training part and takes
the one of the highest merit on validation pictures. The race takes the one of its finalists with the highest
merit on validation and training pictures, the latter predicted by probes that did not see them, as
`headstart.compare.choice` does (but from all finalists, not from those that are tied); what the exhaustive
search would gain by choosing so is printed, too. Every method names one candidate, and is judged by the
accuracy of that candidate's probe on all pictures of the task's classes that are not in the task. Regret is
the exhaustive choice's accuracy minus the method's, in points.

Cost is multiply-adds that are run. The race's is what it spent, the winner's pass over all of the task's
pictures included; a baseline scores every candidate on the same first pictures, as many as the race's
multiply-adds pay for, and its winner's own pass is free. Random networks are candidates, and their
multiply-adds are left out of both sides. The ImageNet prior takes the best published accuracy, of equals the
most expensive. LEEP and NCE are undefined where there is no head at the feature point, and such a candidate
comes last. The tables of probes are kept in WORK/tasks.
"""

import argparse
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import t as student
from scores import score
from selection_features import DATA, specs
from sklearn.model_selection import StratifiedKFold
from svg import Bar, BarPanel, draw_bars
from turns import begin, note, save

from headstart.compare.budget import Budget, Purse
from headstart.compare.race import Entrant, Race
from headstart.compare.schedule import draw_order, plan
from headstart.compare.screening import Standing, screen
from headstart.metrics import merit
from headstart.train import LinearProbe

GOALS = {
    "median regret, points": 0.3,
    "95th percentile of the regret, points": 1.0,
    "cost beyond the winner's own pass, of the exhaustive": 0.15,
    "cost in all, of the exhaustive": 0.35,
}
LOWEST_DIFFERENCE = -0.2  # points: lower 95 % bound of the mean paired difference against a baseline
VAL_SHARE = 0.2
NUM_FOLDS = 5
BUDGET_SHARE = 0.21
LARGEST_SHARE = 0.6  # of a class's pictures, at most so many are in a task: the others judge
IMBALANCE = 1 / 8  # pictures of an imbalanced task's smallest class for one of its largest
BASELINES = ("ImageNet prior", "LogME", "H-score", "LEEP", "NCE", "k-NN")
_SCORES = {"LogME": "log_me", "H-score": "h_score", "LEEP": "leep", "NCE": "nce", "k-NN": "k_nn"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """Somebody's labelled pictures.

    Attributes:
        data: the data set.
        num_classes: K, drawn from its classes.
        num_images: labelled pictures, training and validation together.
        imbalanced: whether the classes get fewer and fewer; else they come as they are in the data set.
        seed: of the draw.
    """

    data: str
    num_classes: int
    num_images: int
    imbalanced: bool = False
    seed: int = 0

    @property
    def name(self) -> str:
        """Of its file."""
        kind = "imbalanced" if self.imbalanced else "plain"
        return f"{self.data}-{self.num_classes}classes-{self.num_images}-{kind}-{self.seed}"


# Classes and pictures, so that 5,000 pictures or more are outside where the set has them: see data_sets.py.
_SHAPES = {
    "digits": ((10, 600, False), (10, 900, False), (5, 400, False), (10, 600, True), (7, 400, False)),
    "cifar10": (
        *((5, 1500, False), (5, 2500, False), (5, 4000, False)),
        *((4, 2500, False), (3, 1000, False), (5, 2500, True)),
    ),
    "fashion": (
        *((5, 1500, False), (5, 2500, False), (5, 4000, False)),
        *((4, 2500, False), (3, 1000, False), (5, 2500, True)),
    ),
    "clipart": ((8, 1300, False), (8, 800, False), (5, 1000, False), (4, 1000, False), (2, 800, False)),
}


def list_tasks(data: Sequence[str], num_seeds: int) -> list[Task]:
    """Return all tasks, the first seed's of all data sets first."""
    return [
        Task(data=name, num_classes=classes, num_images=images, imbalanced=imbalanced, seed=seed)
        for seed in range(num_seeds)
        for name in data
        for classes, images, imbalanced in _SHAPES[name]
    ]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Drawn:
    """The pictures of a task, as rows of the data set's features.

    Attributes:
        train: int64 of shape (T,).
        val: int64 of shape (V,).
        outside: int64 of shape (O,).
        labels: int64 of shape (N,), of every row of the data set: in [0, K) in the task's classes, else -1.
    """

    train: np.ndarray
    val: np.ndarray
    outside: np.ndarray
    labels: np.ndarray

    @property
    def rows(self) -> np.ndarray:
        """Training and validation rows, int64 of shape (T + V,)."""
        return np.concatenate([self.train, self.val])


def draw(task: Task, labels: np.ndarray) -> Drawn:
    """Draw a task's classes and pictures, both by its seed."""
    generator = np.random.default_rng([task.seed, task.num_classes, task.num_images, int(task.imbalanced)])
    classes = np.sort(generator.permutation(np.unique(labels))[: task.num_classes])
    if task.imbalanced:
        generator.shuffle(classes)
    there = np.array([int((labels == each).sum()) for each in classes])
    falling = IMBALANCE ** np.linspace(0, 1, task.num_classes)
    wanted = falling if task.imbalanced else there.astype(float)
    most = (LARGEST_SHARE * there).astype(int)
    counts = np.minimum(np.round(task.num_images * wanted / wanted.sum()).astype(int), most)
    parts: dict[str, list[np.ndarray]] = {"train": [], "val": [], "outside": []}
    numbers = np.full(len(labels), -1)
    for number, (each, count) in enumerate(zip(classes, counts, strict=True)):
        own = generator.permutation(np.flatnonzero(labels == each))
        numbers[own] = number
        num_val = max(1, round(VAL_SHARE * count))
        for name, rows in zip(parts, np.split(own, [count - num_val, count])[:3], strict=True):
            parts[name].append(rows)
    return Drawn(
        **{name: generator.permutation(np.concatenate(rows)) for name, rows in parts.items()}, labels=numbers
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one candidate's probe reached on a task, accuracies in [0, 1].

    Attributes:
        validation: accuracy on the validation pictures.
        log_loss: on them, in nats.
        left_out: accuracy on the training pictures, by probes that did not see them.
        left_out_loss: log loss on them.
        outside: accuracy on all other pictures of the task's classes.
    """

    validation: float
    log_loss: float
    left_out: float
    left_out_loss: float
    outside: float


class Candidates:
    """The candidates of a data set: features, heads, costs.

    Attributes:
        names: of all.
        macs: of one picture, by name.
        top1: published accuracy by name, None where there is none.
        labels: int64 of shape (N,), the data set's.
    """

    def __init__(self, work: Path, data: str) -> None:
        self._folder, self._data = work / "features", data
        self.labels = np.load(self._folder / data / "labels.npy")
        own = [each for each in specs(work) if each.only in ("", data)]
        missing = [each.name for each in own if not self._path(each.name).exists()]
        if missing:
            note(f"{data}: no features of {', '.join(missing)}")
        self.names = [each.name for each in own if each.name not in missing]
        records = {
            name: json.loads(self._file(name, "json").read_text(encoding="utf-8")) for name in self.names
        }
        self.macs: dict[str, float] = {name: each["macs"] for name, each in records.items()}
        self.top1: dict[str, float | None] = {name: each["top1"] for name, each in records.items()}
        self._kept: dict[str, np.ndarray] = {}

    def counted(self, name: str) -> float:
        """Return the multiply-adds of one picture that count: none for a random network."""
        return 0.0 if name.startswith("random") else self.macs[name]

    def features(self, name: str, rows: np.ndarray) -> np.ndarray:
        """Return float32 of shape (len(rows), D)."""
        if name not in self._kept:
            self._kept[name] = np.load(self._path(name), mmap_mode="r")
        return self._kept[name][rows].astype(np.float32)

    def probabilities(self, name: str, features: np.ndarray) -> np.ndarray | None:
        """Return those of the classes of the pretraining, None where the features have no head."""
        path = self._file(name, "head.npz")
        if not path.exists():
            return None
        head = np.load(path)
        logits = features @ head["weight"].T + head["bias"]
        raised = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(raised / raised.sum(axis=1, keepdims=True))

    def _path(self, name: str) -> Path:
        return self._folder / self._data / f"{name}.npy"

    def _file(self, name: str, suffix: str) -> Path:
        return self._folder / f"{name}.{suffix}"


def table(task: Task, drawn: Drawn, candidates: Candidates, folder: Path) -> dict[str, Outcome]:
    """Return what every candidate's probe reaches, from the file where it is kept."""
    path = folder / f"{task.name}.json"
    kept = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    missing = [name for name in candidates.names if name not in kept]
    truth = drawn.labels
    for name in missing:
        probe, found = judge(
            candidates.features(name, drawn.train),
            truth[drawn.train],
            candidates.features(name, drawn.val),
            truth[drawn.val],
            seed=0,
        )
        outside = probe.predict(candidates.features(name, drawn.outside))
        kept[name] = found | {"outside": float((outside == truth[drawn.outside]).mean())}
    if missing:
        path.write_text(json.dumps(kept, indent=1), encoding="utf-8")
    return {name: Outcome(**kept[name]) for name in candidates.names}


def judge(
    features: np.ndarray, truth: np.ndarray, val_features: np.ndarray, val_truth: np.ndarray, *, seed: int
) -> tuple[LinearProbe, dict[str, float]]:
    """Return a probe, and what it and probes of its strength reach on pictures that they did not see."""
    probe = LinearProbe(seed=seed).fit(features, truth)
    validation = accuracy_and_loss(probe.predict_proba(val_features), val_truth)
    probabilities = np.empty((len(truth), len(probe.classes_)), np.float32)
    for known, others in StratifiedKFold(NUM_FOLDS, shuffle=True, random_state=0).split(truth, truth):
        fitted = LinearProbe(strengths=[probe.strength_], seed=0).fit(features[known], truth[known])
        probabilities[others] = fitted.predict_proba(features[others])
    left_out = accuracy_and_loss(probabilities, truth)
    names = ("validation", "log_loss", "left_out", "left_out_loss")
    return probe, dict(zip(names, (*validation, *left_out), strict=True))


def accuracy_and_loss(probabilities: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """Return the accuracy and the log loss in nats."""
    right = probabilities[np.arange(len(truth)), truth]
    accuracy = float((probabilities.argmax(axis=1) == truth).mean())
    return accuracy, float(-np.log(np.maximum(right, 1e-12)).mean())


def choose(outcomes: dict[str, Outcome], names: Sequence[str]) -> str:
    """Return the candidate with the highest merit on the validation pictures."""
    return max(names, key=lambda name: merit(outcomes[name].validation, outcomes[name].log_loss))


def choose_by_all(outcomes: dict[str, Outcome], names: Sequence[str]) -> str:
    """Return the candidate with the highest merit on validation and training pictures, each left out."""

    def total(name: str) -> float:
        found = outcomes[name]
        validation = merit(found.validation, found.log_loss)
        return VAL_SHARE * validation + (1 - VAL_SHARE) * merit(found.left_out, found.left_out_loss)

    return max(names, key=total)


def run_race(
    drawn: Drawn, candidates: Candidates, outcomes: dict[str, Outcome], *, budget: float, seed: int
) -> tuple[str, float]:
    """Return the race's choice and the multiply-adds it spent; the one place that knows the race.

    The finalists' probes are the exhaustive search's where they see all pictures; else they are fitted here.
    """
    rows, num_train = drawn.rows, len(drawn.train)
    labels, num_classes = drawn.labels[rows], int(drawn.labels.max()) + 1

    def look(name: str, which: np.ndarray, num_train: int) -> Standing:
        features = candidates.features(name, rows[which])
        return screen(features, labels[which], num_train=num_train, num_classes=num_classes)

    entrants = [
        Entrant(
            name=name,
            cost=candidates.macs[name],
            prior=candidates.top1[name],
            look=partial(look, name),
        )
        for name in candidates.names
    ]
    schedule = plan(
        [each.cost for each in entrants],
        num_train=num_train,
        num_val=len(drawn.val),
        num_classes=num_classes,
        budget=budget,
    )
    race = Race(
        entrants=entrants,
        labels=labels,
        num_train=num_train,
        num_classes=num_classes,
        schedule=schedule,
        purse=Purse(Budget(amount=budget, unit="pictures")),  # any unit that is charged, not the clock's
        seed=seed,
    )
    finalists = race.run()
    rung = race.last_rung(finalists, num_after=0)
    judged: dict[str, Outcome] = {}
    seen = {each.name: race.pictures_seen(each.name) for each in entrants}
    for entrant in finalists:
        if judged and not race.has_room(entrant, rung):
            continue
        if rung.num_pictures >= len(rows):
            judged[entrant.name] = outcomes[entrant.name]
        else:
            which = race.rows(rung)
            features = candidates.features(entrant.name, rows[which])
            train, val = slice(rung.num_train), slice(rung.num_train, None)
            truth = labels[which]
            _, found = judge(features[train], truth[train], features[val], truth[val], seed=seed)
            judged[entrant.name] = Outcome(**found, outside=0.0)
        race.charge(entrant, rung.num_pictures - seen[entrant.name])
        seen[entrant.name] = rung.num_pictures
    winner = choose_by_all(judged, [*judged])
    seen[winner] = len(rows)  # its probe is fitted on all
    return winner, sum(candidates.counted(name) * number for name, number in seen.items())


def baselines(drawn: Drawn, candidates: Candidates, *, cost: float, seed: int) -> tuple[dict[str, str], int]:
    """Return each baseline's choice at that cost, and how many pictures they saw of every candidate."""
    rows, truth = drawn.rows, drawn.labels[drawn.rows]
    each_costs = sum(candidates.counted(name) for name in candidates.names)
    num_seen = min(len(rows), max(2 * int(truth.max() + 1), int(cost / each_costs)))
    first = draw_order(truth, seed=seed)[:num_seen]
    scores = {}
    for name in candidates.names:
        features = candidates.features(name, rows[first])
        scores[name] = asdict(score(features, candidates.probabilities(name, features), truth[first]))
    chosen = {
        baseline: max(candidates.names, key=lambda name: scores[name][key])
        for baseline, key in _SCORES.items()
    }
    prior = max(candidates.names, key=lambda name: (candidates.top1[name] or 0.0, candidates.macs[name]))
    return {"ImageNet prior": prior, **chosen}, num_seen


def measure(task: Task, candidates: Candidates, args: argparse.Namespace) -> dict[str, Any]:
    """Return everything about one task: choices, accuracies, costs."""
    drawn = draw(task, candidates.labels)
    outcomes = table(task, drawn, candidates, args.work / "tasks")
    exhaustive = choose(outcomes, candidates.names)
    num_images = len(drawn.rows)
    whole = num_images * sum(candidates.counted(name) for name in candidates.names)
    record = {
        **asdict(task),
        "num_outside": len(drawn.outside),
        "num_candidates": len(candidates.names),
        "exhaustive": exhaustive,
        "exhaustive_accuracy": outcomes[exhaustive].outside,
        "by_all_accuracy": outcomes[choose_by_all(outcomes, candidates.names)].outside,
        "best_accuracy": max(each.outside for each in outcomes.values()),
        "best_random": max(
            (each.outside for name, each in outcomes.items() if name.startswith("random")), default=0.0
        ),
    }
    if args.tables_only:
        return record
    # A random network's pictures are paid for by the budget, and then counted on neither side.
    budget = args.budget * num_images * sum(candidates.macs[name] for name in candidates.names)
    winner, cost = run_race(drawn, candidates, outcomes, budget=budget, seed=task.seed)
    chosen, num_seen = baselines(drawn, candidates, cost=cost, seed=task.seed)
    beyond = cost - candidates.counted(winner) * num_images
    return record | {
        "winner": winner,
        "accuracy": outcomes[winner].outside,
        "cost": cost / whole,
        "cost_beyond": beyond / whole,
        "baselines": {
            name: {"chosen": each, "accuracy": outcomes[each].outside} for name, each in chosen.items()
        },
        "baseline_pictures": num_seen,
    }


def regrets(tasks: Sequence[dict[str, Any]], accuracy: Callable[[dict[str, Any]], float]) -> np.ndarray:
    """Return the regret of each task in points."""
    return np.array([100 * (each["exhaustive_accuracy"] - accuracy(each)) for each in tasks])


def spread(values: np.ndarray) -> dict[str, float]:
    """Return mean, median, and the 5th and 95th percentile."""
    low, median, high = np.percentile(values, [5, 50, 95])
    return {"mean": float(values.mean()), "median": float(median), "p5": float(low), "p95": float(high)}


def against(baseline: str, tasks: Sequence[dict[str, Any]], ours: np.ndarray) -> dict[str, Any]:
    """Return what a baseline of equal cost loses against the race, whose regrets are `ours`."""
    theirs = regrets(tasks, lambda each: each["baselines"][baseline]["accuracy"])
    difference = theirs - ours  # of accuracies: above 0 where the race chose the better
    error = difference.std(ddof=1) / math.sqrt(len(tasks))
    lower = float(difference.mean() - student.ppf(0.975, len(tasks) - 1) * error)
    return {
        "regret": spread(theirs),
        "difference": float(difference.mean()),
        "lower": lower,
        "reached": lower >= LOWEST_DIFFERENCE,
    }


def summarise(tasks: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the figures of the goals and whether they are reached."""
    ours = regrets(tasks, lambda each: each["accuracy"])
    costs = np.array([each["cost"] for each in tasks])
    beyond = np.array([each["cost_beyond"] for each in tasks])
    figures = [
        float(np.median(ours)),
        float(np.percentile(ours, 95)),
        float(beyond.mean()),
        float(costs.mean()),
    ]
    goals = {
        name: {"value": value, "goal": goal, "reached": value <= goal}
        for (name, goal), value in zip(GOALS.items(), figures, strict=True)
    }
    randoms = sum(each["winner"].startswith("random") for each in tasks)
    return {
        "num_races": len(tasks),
        "regret": spread(ours),
        "exhaustive_by_all": spread(regrets(tasks, lambda each: each["by_all_accuracy"])),
        "cost": spread(costs),
        "cost_beyond": spread(beyond),
        "goals": goals,
        "against": {name: against(name, tasks, ours) for name in BASELINES},
        "random_winners": randoms,
    }


def describe(summary: dict[str, Any]) -> None:
    """Print the figures."""
    print(f"{summary['num_races']} races; a random network won {summary['random_winners']}")
    for name, each in summary["goals"].items():
        verdict = "reached" if each["reached"] else "MISSED"
        print(f"  {name:<55}{each['value']:>7.3f}, goal {each['goal']:g}: {verdict}")
    by_all = summary["exhaustive_by_all"]
    print(
        f"  regret of the exhaustive search that chooses as the race does: {by_all['mean']:.2f} in the mean, "
        f"{by_all['p95']:.2f} 95th percentile; of the race {summary['regret']['mean']:.2f} in the mean"
    )
    print("  accuracy of the race's choice minus a baseline's at equal cost, points:")
    for name, each in summary["against"].items():
        regret, verdict = each["regret"], "reached" if each["reached"] else "MISSED"
        print(
            f"    {name:<15}{each['difference']:>7.2f}, lower 95 % bound {each['lower']:>6.2f}, goal "
            f"{LOWEST_DIFFERENCE}: {verdict}; its regret {regret['median']:.2f} median, {regret['p95']:.2f} "
            "95th percentile"
        )


def panels(summary: dict[str, Any]) -> list[BarPanel]:
    """Return the plot: regrets, and costs."""

    def bar(name: str, spread: dict[str, float], scale: float = 1) -> Bar:
        low, middle, high = (max(0.0, scale * spread[key]) for key in ("p5", "mean", "p95"))
        return Bar(name=name, value=middle, low=low, high=max(high, middle))

    others = [bar(name, each["regret"]) for name, each in summary["against"].items()]
    number = summary["num_races"]
    return [
        BarPanel(
            title=f"regret in points: mean, 5th to 95th percentile of {number} races",
            bars=[bar("headstart's race", summary["regret"]), *others],
            goal=GOALS["95th percentile of the regret, points"],
        ),
        BarPanel(
            title="multiply-adds, % of the exhaustive search",
            bars=[bar("in all", summary["cost"], 100)],
            goal=100 * GOALS["cost in all, of the exhaustive"],
        ),
        BarPanel(
            title="the same beyond the winner's own pass",
            bars=[bar("beyond the winner", summary["cost_beyond"], 100)],
            goal=100 * GOALS["cost beyond the winner's own pass, of the exhaustive"],
        ),
    ]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="The race against exhaustive search: see the docstring.")
    parser.add_argument(
        "work", type=Path, help="working folder of data_sets.py, zoo.py and selection_features.py"
    )
    parser.add_argument("--data", nargs="+", choices=DATA, default=DATA)
    parser.add_argument("--seeds", type=int, default=4, help="tasks of each kind")
    parser.add_argument(
        "--budget", type=float, default=BUDGET_SHARE, help="of the race, share of the exhaustive"
    )
    parser.add_argument("--tables-only", action="store_true", help="fit the probes of all tasks, no race")
    parser.add_argument("--json", type=Path, help="file for the record")
    parser.add_argument("--svg", type=Path, help="file for the plot")
    args = parser.parse_args()
    record = begin("selection", args)
    (args.work / "tasks").mkdir(exist_ok=True)
    fields = {name: Candidates(args.work, name) for name in args.data}
    record["candidates"] = {name: field.macs for name, field in fields.items()}
    record["data"] = json.loads((args.work / "data" / "data_sets.json").read_text(encoding="utf-8"))
    tasks = []
    for task in list_tasks(args.data, args.seeds):
        tasks.append(measure(task, fields[task.data], args))
        note(f"{task.name}: exhaustive {tasks[-1]['exhaustive']}, race {tasks[-1].get('winner', '-')}")
    record["tasks"] = tasks
    if args.tables_only:
        return
    record["summary"] = summarise(tasks)
    record["by_data"] = {
        name: summarise([each for each in tasks if each["data"] == name]) for name in args.data
    }
    describe(record["summary"])
    save(record, args.json)
    if args.svg:
        args.svg.write_text(draw_bars(panels(record["summary"])), encoding="utf-8")


if __name__ == "__main__":
    main()
