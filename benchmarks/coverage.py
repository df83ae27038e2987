"""Do the statistics hold what they say? Simulated races, and fitted heads on real pictures.

    python benchmarks/coverage.py --data cifar10.zip [--json FILE] [--races 2000]

cifar10.zip is a zip with train/<class>/ and test/<class>/, 20,000 pictures or more. Its features are computed
once, with --model at --resolution, and kept in HEADSTART_HOME. Without --data the parts on real pictures,
"repeated" and "real", are left out.

Candidates are simulated by a normal model: picture i is as hard as a number that all candidates share, each
adds noise of its own, and is right where the sum is below the quantile of its accuracy. The weight of the
shared number gives the wanted share of discordant pairs: pictures that one of two equal candidates has
right and the other not. Every part prints its figures and whether its goal is reached:

intervals    95 % intervals cover 93 to 97 %: `wilson` and `paired_difference` exactly, summed over all that
             can come out; `corrected_best` in the races below.
different    two different candidates of equal accuracy are called different by `rank` in at most 6 %, also
             exactly.
winner       `corrected_best` less the true accuracy of the chosen one is at most 0.2 points in the mean of
             --races races, in every regime: M candidates that are equal, spread (evenly over 13 points), or
             equal but for one that is 6 points better. The mean error of all M measured accuracies, which
             is known to be 0 in expectation, is regressed out; the standard error that is left is printed
             ("monte_carlo"), and so is the error of the measured accuracy ("measured_error").
repeated     `repeated_accuracy` and `repeated_difference`: 5 folds, 3 repeats, 5 to 50 pictures a class,
             drawn from --judged of the real pictures, whose features are turned into their main axes; the
             truth is the accuracy, on all others of these, of the model fitted on all that were drawn. The
             goal is 93 to 97 %.
real         LinearProbes, each fitted once on pictures of its own draw from a pool; test sets drawn without
             replacement from all pictures outside the pool; the truth is the same fitted probe's accuracy on
             the outside pictures that were not drawn. Given the probes the draws are independent, but those
             of one probe have something in common, so the interval of the coverage is Student's over the
             probes' own coverages; it must contain 95 %. Races of all the probes likewise.
"""

import argparse
import functools
import itertools
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from joblib import Parallel, delayed
from scipy.optimize import brentq
from scipy.stats import beta, binom, multinomial, multivariate_normal, norm, t
from sklearn.decomposition import PCA
from sklearn.model_selection import StratifiedKFold
from sklearn.neighbors import KNeighborsClassifier, NearestCentroid
from threadpoolctl import threadpool_limits
from turns import begin, note, save

from headstart.evaluate import (
    corrected_best,
    paired_difference,
    rank,
    repeated_accuracy,
    repeated_difference,
    wilson,
)
from headstart.train import LinearProbe

SEED = 0
BAND = (0.93, 0.97)
MAX_CALLED_DIFFERENT = 0.06
MAX_ERROR = 0.002
NUM_PICTURES = (100, 400, 2000)
DISCORDANT = (0.05, 0.1, 0.2)
NUM_CANDIDATES = (2, 5, 15, 50)
ACCURACY = 0.85
NEGLIGIBLE = 1e-12  # outcomes that are rarer are left out of exact sums
NUM_AXES = 128  # of the features, the main ones: some 250,000 heads of each kind are fitted on them
CLASSIFIERS: dict[str, Callable[[], Any]] = {
    "probe": functools.partial(LinearProbe, strengths=[1.0], seed=SEED),
    "centroids": NearestCentroid,
    "neighbour": functools.partial(KNeighborsClassifier, 1),
}
PAIRS = (("probe", "centroids"), ("probe", "neighbour"))

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Row = dict[str, Any]


def shared_weight(accuracy: float, discordant: float) -> float:
    """Return the correlation at which two such candidates have such a share of discordant pairs."""
    limit = norm.ppf(accuracy)

    def miss(weight: float) -> float:
        both = multivariate_normal.cdf([limit, limit], cov=[[1, weight], [weight, 1]])
        return float(2 * (accuracy - both) - discordant)

    return float(brentq(miss, 0, 0.99999))


def draw(generator: np.random.Generator, accuracies: Floats, weight: float, n: int) -> Bools:
    """Return how right each candidate is on n pictures: of shape (M, n)."""
    own = generator.standard_normal((len(accuracies), n), dtype=np.float32)
    shared = generator.standard_normal(n, dtype=np.float32)
    scores = np.float32(np.sqrt(weight)) * shared + np.float32(np.sqrt(1 - weight)) * own
    right: Bools = scores < norm.ppf(accuracies)[:, None].astype(np.float32)
    return right


def clopper_pearson(successes: int, n: int) -> tuple[float, float]:
    """Return the exact 95 % interval of a share."""
    low = beta.ppf(0.025, successes, n - successes + 1) if successes else 0.0
    high = beta.ppf(0.975, successes + 1, n - successes) if successes < n else 1.0
    return float(low), float(high)


def coverage(held: int, n: int) -> Row:
    """Return a simulated coverage with its exact interval, and whether the coverage itself is in the band."""
    low, high = clopper_pearson(held, n)
    return {
        "covered": held / n,
        "covered_low": low,
        "covered_high": high,
        "draws": n,
        "reached": BAND[0] <= held / n <= BAND[1],
    }


def show(title: str, rows: list[Row], columns: tuple[str, ...]) -> list[Row]:
    """Print a table and how many rows reach the goal; return the rows."""
    print(f"\n{title}: {sum(row['reached'] for row in rows)} of {len(rows)} reach the goal")
    for row in rows:
        cells = []
        for column in columns:
            value = row[column]
            cells.append(f"{column} {value:.4f}" if isinstance(value, float) else f"{column} {value}")
        print(f"  {'reached' if row['reached'] else 'MISSED '}  {', '.join(cells)}", flush=True)
    return rows


def exactly(covered: float) -> Row:
    """Return a coverage that was summed, and whether it is in the band."""
    return {"covered": covered, "reached": BAND[0] <= covered <= BAND[1]}


def measure_wilson() -> Iterator[Row]:
    """Yield the coverage of `wilson` over accuracies and numbers of pictures."""
    for accuracy in (0.5, 0.7, 0.85, 0.95, 0.98):
        for n in NUM_PICTURES:
            found = [wilson(right, n) for right in range(n + 1)]
            held = [right for right, each in enumerate(found) if each.low <= accuracy <= each.high]
            covered = float(binom.pmf(held, n, accuracy).sum())
            yield {"accuracy": accuracy, "n": n, **exactly(covered)}


def outcomes(accuracy: float, gap: float, discordant: float, n: int) -> Iterator[tuple[float, Bools]]:
    """Yield how right two candidates may be on n pictures, of shape (2, n), each with its probability.

    Only how many pictures either alone has right matters, so there is one for all with the same numbers.

    Args:
        accuracy: of the second; the first is better by `gap`.
        gap: in accuracy.
        discordant: share of pictures that two of that accuracy would not both have right or wrong.
        n: number of pictures.
    """
    weight = shared_weight(accuracy, discordant)
    limits = norm.ppf([accuracy + gap, accuracy])
    both = float(multivariate_normal.cdf(limits, cov=[[1, weight], [weight, 1]]))
    shares = (accuracy + gap - both, accuracy - both)
    likely = [np.flatnonzero(binom.pmf(np.arange(n + 1), n, share) > NEGLIGIBLE) for share in shares]
    for first, second in ((a, b) for a in likely[0] for b in likely[1] if a + b <= n):
        chance = float(multinomial.pmf([first, second, n - first - second], n, [*shares, 1 - sum(shares)]))
        if chance > NEGLIGIBLE:
            right = np.zeros((2, n), np.bool_)
            right[0, :first] = right[1, first : first + second] = True
            yield chance, right


def measure_pairs() -> tuple[list[Row], list[Row]]:
    """Return the coverage of `paired_difference`, and how often `rank` calls equal candidates different."""
    covered, called = [], []
    for discordant, gap, n in itertools.product(DISCORDANT, (0.0, 0.03), NUM_PICTURES):
        where, held, different = {"discordant": discordant, "n": n}, 0.0, 0.0
        for chance, pair in outcomes(ACCURACY, gap, discordant, n):
            found = paired_difference(*pair)
            held += chance * (found.low <= gap <= found.high)
            if not gap:
                different += chance * (not all(rank(pair, (0.0, 0.0)).tied))
        covered.append(where | {"gap": gap} | exactly(held))
        if not gap:
            called.append(where | {"different": different, "reached": different <= MAX_CALLED_DIFFERENT})
        note(f"pairs {discordant}, {gap}, {n}: covered {held:.4f}")
    return covered, called


def regime(kind: str, num: int) -> Floats:
    """Return the true accuracies of the candidates."""
    if kind == "spread":
        return np.linspace(ACCURACY - 0.1, ACCURACY + 0.03, num)
    accuracies = np.full(num, ACCURACY)
    accuracies[num // 2] += 0.06 if kind == "clear" else 0.0
    return accuracies


def settings() -> Iterator[tuple[str, int, int, float]]:
    """Yield the regimes: every kind, M and N, with discordances in turn, and the hardest corner with all."""
    kinds = ("equal", "spread", "clear")
    for row, kind in enumerate(kinds):
        for column, num in enumerate(NUM_CANDIDATES):
            for layer, n in enumerate(NUM_PICTURES):
                for place, discordant in enumerate(DISCORDANT):
                    if (row + column + layer) % 3 == place or (num == max(NUM_CANDIDATES) and n == 100):
                        yield kind, num, n, discordant


def run_races(kind: str, num: int, n: int, discordant: float, *, num_races: int) -> Row:
    """Return mean error and coverage of `corrected_best` in one regime."""
    generator = np.random.default_rng([SEED, num, n, int(100 * discordant)])
    truth, weight = regime(kind, num), shared_weight(ACCURACY, discordant)
    errors, measured, luck, held = (np.empty(num_races) for _ in range(4))
    for race in range(num_races):
        correct = draw(generator, truth, weight, n)
        means = correct.mean(axis=1)
        best = means.argmax()
        found = corrected_best(correct, seed=race)
        errors[race], measured[race] = found.value - truth[best], means[best] - truth[best]
        luck[race], held[race] = (means - truth).mean(), found.low <= truth[best] <= found.high
    rest = errors - np.cov(errors, luck)[0, 1] / luck.var() * luck
    mean, monte_carlo = float(rest.mean()), float(rest.std() / np.sqrt(num_races))
    covered = coverage(int(held.sum()), num_races)
    return {
        "kind": kind,
        "candidates": num,
        "n": n,
        "discordant": discordant,
        "error": mean,
        "monte_carlo": monte_carlo,
        "measured_error": float(measured.mean()),
        "sd": float(errors.std()),
        "covered": covered["covered"],
        "reached": abs(mean) <= MAX_ERROR,
        "beyond_monte_carlo": abs(mean) - 1.96 * monte_carlo > MAX_ERROR,
        "covered_reached": covered["reached"],
    }


def cross_validate(
    make: Callable[[], Any], X: Floats, y: npt.NDArray[Any], folds: npt.NDArray[Any], *, num_left_out: int
) -> Bools:
    """Return whether each picture is predicted right in each repeat: of shape (R, N).

    Args:
        make: makes a classifier.
        X: of shape (N, D).
        y: of shape (N,).
        folds: of shape (R, N).
        num_left_out: folds that a fit does not see: the picture's own, and as many after it.
    """
    right, num_folds = np.empty(folds.shape, np.bool_), int(folds.max()) + 1
    for repeat, fold in np.ndindex(len(folds), num_folds):
        after = (folds[repeat] - fold) % num_folds
        known, asked = after >= num_left_out, after == 0
        right[repeat, asked] = make().fit(X[known], y[known]).predict(X[asked]) == y[asked]
    return right


def draw_folds(y: npt.NDArray[Any], *, num_repeats: int, seed: int) -> npt.NDArray[np.int64]:
    """Return five stratified folds, drawn several times: of shape (R, N)."""
    folds = np.empty((num_repeats, len(y)), np.int64)
    for repeat in range(num_repeats):
        cut = StratifiedKFold(5, shuffle=True, random_state=seed + repeat)
        for fold, (_, held) in enumerate(cut.split(y, y)):
            folds[repeat, held] = fold
    return folds


def repeat_once(per_class: int, number: int, *, features: Floats, labels: npt.NDArray[Any]) -> dict[str, Row]:
    """Return, by name, one cross-validated accuracy or difference: its error and whether it is covered."""
    generator = np.random.default_rng([SEED, 4, per_class, number])
    members = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    drawn = np.concatenate([generator.choice(each, per_class, replace=False) for each in members])
    rest = np.setdiff1d(np.arange(len(labels)), drawn)
    X, y = features[drawn], labels[drawn]
    folds = draw_folds(y, num_repeats=3, seed=3 * number)
    right, fewer, truth = {}, {}, {}
    for name, make in CLASSIFIERS.items():
        right[name], fewer[name] = (cross_validate(make, X, y, folds, num_left_out=num) for num in (1, 2))
        truth[name] = float((make().fit(X, y).predict(features[rest]) == labels[rest]).mean())
    rows = {}
    for name in CLASSIFIERS:
        found = repeated_accuracy(right[name], folds, fewer=fewer[name])
        rows[name] = {"error": found.value - truth[name], "held": found.low <= truth[name] <= found.high}
    for a, b in PAIRS:
        difference = repeated_difference(right[a], right[b], folds, fewer=(fewer[a], fewer[b]))
        true = truth[a] - truth[b]
        held = difference.low <= true <= difference.high
        rows[f"{a} - {b}"] = {"error": difference.value - true, "held": held}
    return rows


def measure_repeated(features: Floats, labels: npt.NDArray[Any], *, num_draws: int) -> list[Row]:
    """Return the coverage of the intervals of repeated cross-validation on small draws of real pictures."""
    rows = []
    for per_class in (5, 10, 20, 50):
        once = delayed(functools.partial(repeat_once, features=features, labels=labels))
        found = Parallel(n_jobs=os.cpu_count())(once(per_class, number) for number in range(num_draws))
        for name in found[0]:
            error = float(np.mean([each[name]["error"] for each in found]))
            held = sum(each[name]["held"] for each in found)
            rows.append({"what": name, "per_class": per_class, "error": error, **coverage(held, num_draws)})
        note(f"repeated cross-validation with {per_class} pictures a class is done")
    return rows


def read_features(
    path: Path, *, model: str, resolution: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[Any]]:
    """Return the features and labels of all pictures, from the cache where they are there."""
    from headstart.data.prepare import open_sample
    from headstart.data.scan import scan
    from headstart.embed import PixelStore, choose_resolution, embed, sample_sides
    from headstart.models import load

    drawn = open_sample(str(path), sample={}, seed=SEED).dataset
    classifier = load(model)
    native = classifier.preprocessing
    chosen = choose_resolution(native, sample_sides(drawn), resolution=resolution, fit=None, fixed=None)
    classifier = classifier.with_preprocessing(chosen)
    with PixelStore((classifier.preprocessing,), decoder="fast") as store:
        pictures = scan(drawn, keeper=store).dataset
        embeddings = embed(classifier, pictures, store=store)
    return embeddings.rows(pictures.ids), pictures.labels


def fit_probes(
    features: npt.NDArray[np.float32], labels: npt.NDArray[Any], args: argparse.Namespace
) -> Bools:
    """Return how right each fitted probe is on every picture outside the pool: of shape (M, N)."""
    generator = np.random.default_rng([SEED, 5])
    shuffled = generator.permutation(len(labels))
    pool, outside = shuffled[: args.pool], shuffled[args.pool :]
    right = np.empty((args.probes, len(outside)), np.bool_)
    for number in range(args.probes):
        # Different sizes make different accuracies, as a race has them.
        size = args.train // (1 + number % 2)
        part = generator.choice(pool, size, replace=False)
        probe = LinearProbe(seed=number).fit(features[part], labels[part])
        right[number] = probe.predict(features[outside]) == labels[outside]
        note(f"probe {number + 1} of {args.probes}: {size} pictures, accuracy {right[number].mean():.3f}")
    return right


def rest_accuracy(totals: npt.NDArray[np.int64], drawn: Bools, num_outside: int) -> Floats:
    """Return the accuracies on the pictures that were not drawn, of shape (M,).

    Args:
        totals: of shape (M,), how many of all outside pictures are right.
        drawn: of shape (M, n), which of the drawn ones are.
        num_outside: how many pictures there are outside.
    """
    accuracies: Floats = (totals - drawn.sum(axis=1)) / (num_outside - drawn.shape[1])
    return accuracies


def measure_real(right: Bools, *, num_draws: int, num_races: int) -> tuple[list[Row], list[Row]]:
    """Return coverages over fitted probes, and those of races of all of them."""
    generator = np.random.default_rng([SEED, 6])
    num_probes, num_outside = right.shape
    rows, races = [], []
    for n in (400, 1000):
        held = {"wilson": np.zeros(num_probes), "paired_difference": np.zeros(num_probes)}
        for probe in range(num_probes):
            pair = right[[probe, (probe + 1) % num_probes]]
            totals = pair.sum(axis=1)
            for _ in range(num_draws):
                drawn = pair[:, generator.choice(num_outside, n, replace=False)]
                truth = rest_accuracy(totals, drawn, num_outside)
                single = wilson(int(drawn[0].sum()), n)
                both = paired_difference(*drawn)
                held["wilson"][probe] += single.low <= truth[0] <= single.high
                held["paired_difference"][probe] += both.low <= truth[0] - truth[1] <= both.high
        for name, each in held.items():
            rows.append({"what": name, "n": n, **clustered(each / num_draws, num_draws)})
        races.append(race_probes(right, n, num_races, generator))
    return rows, races


def clustered(shares: Floats, num_draws: int) -> Row:
    """Return the mean coverage with Student's interval over the probes, and the exact one over all draws."""
    mean, num = float(shares.mean()), len(shares)
    half = float(t.ppf(0.975, num - 1) * shares.std(ddof=1) / np.sqrt(num))
    low, high = clopper_pearson(round(float(shares.sum()) * num_draws), num * num_draws)
    return {
        "covered": mean,
        "clustered_low": mean - half,
        "clustered_high": mean + half,
        "exact_low": low,
        "exact_high": high,
        "probes": num,
        "draws": num * num_draws,
        "reached": mean - half <= 0.95 <= mean + half,
    }


def race_probes(right: Bools, n: int, num_races: int, generator: np.random.Generator) -> Row:
    """Return mean error and coverage of `corrected_best` in races of all probes on drawn pictures."""
    errors, measured, luck, held = [], [], [], 0
    totals, num_outside = right.sum(axis=1), right.shape[1]
    for race in range(num_races):
        correct = right[:, generator.choice(num_outside, n, replace=False)]
        truth = rest_accuracy(totals, correct, num_outside)
        means = correct.mean(axis=1)
        best = int(means.argmax())
        found = corrected_best(correct, seed=race)
        errors.append(found.value - truth[best])
        measured.append(means[best] - truth[best])
        luck.append((means - truth).mean())
        held += found.low <= truth[best] <= found.high
    rest = np.array(errors) - np.cov(errors, luck)[0, 1] / np.var(luck) * np.array(luck)
    return {
        "candidates": len(right),
        "n": n,
        "error": float(rest.mean()),
        "monte_carlo": float(rest.std() / np.sqrt(num_races)),
        "measured_error": float(np.mean(measured)),
        "reached": abs(float(rest.mean())) <= MAX_ERROR,
        **{key: value for key, value in coverage(held, num_races).items() if key != "reached"},
    }


def simulate(args: argparse.Namespace) -> dict[str, list[Row]]:
    """Run and print everything that needs no pictures."""
    wilson_rows = show("wilson covers 93 to 97 %", list(measure_wilson()), ("accuracy", "n", "covered"))
    pair_rows, called_rows = measure_pairs()
    show("paired_difference covers 93 to 97 %", pair_rows, ("discordant", "gap", "n", "covered"))
    show(
        "rank calls equal candidates different in at most 6 %", called_rows, ("discordant", "n", "different")
    )
    once = delayed(functools.partial(run_races, num_races=args.races))
    race_rows = Parallel(n_jobs=os.cpu_count())(once(*setting) for setting in settings())
    columns = (
        "kind",
        "candidates",
        "n",
        "discordant",
        "error",
        "monte_carlo",
        "measured_error",
        "sd",
        "covered",
    )
    show("corrected_best is off by at most 0.002 in the mean", race_rows, columns)
    covered = [row | {"reached": row["covered_reached"]} for row in race_rows]
    show("corrected_best covers 93 to 97 %", covered, columns[:4] + columns[-1:])
    return {
        "wilson": wilson_rows,
        "paired_difference": pair_rows,
        "rank": called_rows,
        "races": race_rows,
    }


def main() -> None:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(description="Do the statistics hold what they say?")
    parser.add_argument("--data", type=Path, help="zip of CIFAR-10 for the part on real pictures")
    parser.add_argument("--json", type=Path, help="file for the record, say in benchmarks/results/")
    parser.add_argument("--races", type=int, default=2000, help="simulated races a regime")
    parser.add_argument("--repetitions", type=int, default=2000, help="of cross-validation, a size")
    parser.add_argument("--judged", type=int, default=10_000, help="pictures that these are drawn from")
    parser.add_argument("--model", default="efficientnet_lite0", help="network of the real features")
    parser.add_argument("--resolution", type=int, default=32, help="its input, pixels")
    parser.add_argument("--pool", type=int, default=6000, help="real pictures to train on")
    parser.add_argument(
        "--train", type=int, default=1000, help="of these for every other probe; half for the rest"
    )
    parser.add_argument("--probes", type=int, default=30, help="fitted on real features, each once")
    parser.add_argument("--test-draws", type=int, default=100, help="test sets a probe")
    args = parser.parse_args()
    start = time.perf_counter()
    record = begin("coverage", args)
    with threadpool_limits(1):
        if args.data is not None:
            features, labels = read_features(args.data, model=args.model, resolution=args.resolution)
            right = fit_probes(features, labels, args)
            real, races = measure_real(right, num_draws=args.test_draws, num_races=args.races)
            columns = ("what", "n", "covered", "clustered_low", "clustered_high", "exact_low", "exact_high")
            record["real"] = show("intervals on real pictures contain 95 %", real, columns)
            columns = ("candidates", "n", "error", "monte_carlo", "measured_error", "covered")
            record["real_races"] = show(
                "corrected_best on real pictures is off by at most 0.002", races, columns
            )
            kept = np.random.default_rng([SEED, 7]).permutation(len(labels))[: args.judged]
            axes = PCA(NUM_AXES, random_state=SEED).fit_transform(features[kept])
            record["repeated"] = show(
                "repeated cross-validation covers 93 to 97 %",
                measure_repeated(axes, labels[kept], num_draws=args.repetitions),
                ("what", "per_class", "error", "covered", "covered_low", "covered_high"),
            )
        record |= simulate(args)
    record["seconds"] = time.perf_counter() - start
    save(record, args.json)
    print(f"\n{record['seconds']:.0f} s")


if __name__ == "__main__":
    sys.exit(main())
