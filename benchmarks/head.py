"""The head: our swept probe against scikit-learn's logistic regression with the same sweep, turn by turn.

    python benchmarks/head.py [--rows 50000] [--features 1280] [--classes 10] [--turns 3] [--ours-only]
                              [--file FEATURES.npz] [--strengths 0.1,0.03,0.01] [--device cpu]
                              [--peer-threads 1]

Features are drawn: correlated, of decaying variance, through a ReLU, as those of a pretrained network are;
labels come from a noisy linear model of what is behind them. --file takes features of `headstart embed`. Both
sides are given raw features and choose among the same strengths by the log loss of the same held-out fifth,
then fit all rows. scikit-learn's side standardises once, and for each strength, from strong to weak, fits
LogisticRegression (lbfgs, C = 1 / (rows * strength), its default tolerance, at most 1,000 steps, started from
the last strength's weights) on the other rows. --peer-threads limits its BLAS: on two cores one thread is
much faster than two, as NumPy's and SciPy's threads wait for work by spinning.

Printed: the seconds of each turn, and of all cores together, which say more where there is other work; the
median over the turns of (seconds of scikit-learn / ours); both choices; the log loss of the held-out rows at
either as scikit-learn's sweep measured it, and how much ours is worse; the share of fresh rows on which the
predictions agree, both accuracies on them.

scikit-learn's side takes minutes a turn at full size and hours with 1,000 classes: --turns 1, fewer --rows,
fewer --strengths, or --ours-only.
"""

import argparse
import statistics
import time
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from headstart.metrics import log_loss
from headstart.train import LinearProbe
from headstart.train.folds import inner_folds
from headstart.train.probe import STRENGTHS

FRESH = 5000
MAX_ITER = 1000
SEED = 0

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What one side did: seconds, those of all cores, the strength, log losses, probabilities."""

    seconds: float
    core_seconds: float
    strength: float
    log_losses: dict[float, float]
    probabilities: npt.NDArray[Any]


def draw(rows: int, features: int, classes: int) -> tuple[Floats, Integers]:
    """Return features of shape (rows, features) and labels."""
    generator = np.random.default_rng(SEED)
    rank = min(400, features)
    decay = np.arange(1, rank + 1, dtype=np.float32)[:, None]
    basis = generator.standard_normal((rank, features), dtype=np.float32) * decay**-0.8
    truth = generator.standard_normal((rank, classes), dtype=np.float32) * decay**-0.3
    truth *= 4 / np.sqrt(np.square(truth).sum(axis=0).mean())
    found, labels = np.empty((rows, features), np.float32), np.empty(rows, np.int64)
    for start in range(0, rows, 5000):
        behind = generator.standard_normal((min(5000, rows - start), rank), dtype=np.float32)
        noise = generator.standard_normal((len(behind), features), dtype=np.float32)
        found[start : start + 5000] = np.maximum(behind @ basis + 0.3 * noise - 0.3, 0)
        scores = behind @ truth + generator.gumbel(size=(len(behind), classes))
        labels[start : start + 5000] = scores.argmax(axis=1)
    labels[:classes] = np.arange(classes)  # so that each has a row to be learnt from
    return found, labels


def read(path: str, rows: int) -> tuple[Floats, Integers]:
    """Return at most rows + FRESH rows of a file of `headstart embed`, in random order."""
    with np.load(path) as file:
        chosen = np.random.default_rng(SEED).permutation(len(file["labels"]))[: rows + FRESH]
        return file["features"][chosen], file["labels"][chosen]


def ours(X: Floats, y: Integers, fresh: Floats, *, strengths: tuple[float, ...], device: str) -> Turn:
    """Fit the probe."""
    start, core_start = time.perf_counter(), time.process_time()
    probe = LinearProbe(strengths=strengths, seed=SEED, device=device).fit(X, y)
    seconds, core_seconds = time.perf_counter() - start, time.process_time() - core_start
    tried = dict(zip(probe.strengths_.tolist(), probe.inner_log_losses_.tolist(), strict=True))
    return Turn(
        seconds=seconds,
        core_seconds=core_seconds,
        strength=probe.strength_,
        log_losses=tried,
        probabilities=probe.predict_proba(fresh),
    )


def theirs(X: Floats, y: Integers, fresh: Floats, *, strengths: tuple[float, ...]) -> Turn:
    """Standardise, sweep scikit-learn's logistic regression, refit."""
    start, core_start = time.perf_counter(), time.process_time()
    scaler = StandardScaler().fit(X)
    features = scaler.transform(X)
    fitted, tried = next(iter(inner_folds(y, num_folds=5, seed=SEED)))
    part, others = features[fitted], features[tried]
    model, best = LogisticRegression(max_iter=MAX_ITER, warm_start=True), None
    losses: dict[float, float] = {}
    for strength in strengths:
        model.C = 1 / (len(part) * strength)
        model.fit(part, y[fitted])
        losses[strength] = log_loss(y[tried], model.predict_proba(others))
        if losses[strength] == min(losses.values()):
            best = model.coef_.copy(), model.intercept_.copy(), strength
    assert best is not None  # noqa: S101  # there is one strength at least
    model.coef_, model.intercept_, strength = best
    model.C = 1 / (len(features) * strength)
    model.fit(features, y)
    seconds, core_seconds = time.perf_counter() - start, time.process_time() - core_start
    probabilities = model.predict_proba(scaler.transform(fresh))
    return Turn(
        seconds=seconds,
        core_seconds=core_seconds,
        strength=strength,
        log_losses=losses,
        probabilities=probabilities,
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    for name, value in (("rows", 50000), ("features", 1280), ("classes", 10), ("turns", 3)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--strengths", default=",".join(map(repr, STRENGTHS)), help="comma between them")
    parser.add_argument("--file", help="an .npz of headstart embed, in place of drawn features")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--peer-threads", type=int, help="of scikit-learn's BLAS; left out: as it is")
    parser.add_argument("--ours-only", action="store_true")
    given = parser.parse_args()
    strengths = tuple(sorted(map(float, given.strengths.split(",")), reverse=True))
    if given.file:
        X, y = read(given.file, given.rows)
    else:
        X, y = draw(given.rows + FRESH, given.features, given.classes)
    num_rows = len(y) - FRESH
    X, y, fresh, truth = X[:num_rows], y[:num_rows], X[num_rows:], y[num_rows:]
    print(f"{num_rows} x {X.shape[1]}, {len(np.unique(y))} classes, {len(strengths)} strengths", flush=True)
    warnings.simplefilter("ignore", ConvergenceWarning)  # of theirs at the weakest strengths
    sides = {"ours": lambda: ours(X, y, fresh, strengths=strengths, device=given.device)}
    if not given.ours_only:

        def limited() -> Turn:
            with threadpool_limits(limits=given.peer_threads, user_api="blas"):
                return theirs(X, y, fresh, strengths=strengths)

        sides["scikit-learn"] = limited
    done: dict[str, list[Turn]] = {side: [] for side in sides}
    for turn in range(given.turns):
        for side in sorted(sides, reverse=bool(turn % 2)):
            done[side].append(sides[side]())
            last = done[side][-1]
            times = f"{last.seconds:7.1f} s ({last.core_seconds:.1f} s of cores)"
            print(f"turn {turn + 1}  {side:<12}  {times}  chose {last.strength:.3g}", flush=True)
    for side, turns in done.items():
        accuracy = (turns[-1].probabilities.argmax(axis=1) == truth).mean()
        fresh_loss = log_loss(truth, turns[-1].probabilities)
        print(f"{side}: fresh rows: accuracy {accuracy:.4f}, log loss {fresh_loss:.5f}")
    print("ours tried", {f"{s:.3g}": round(loss, 5) for s, loss in done["ours"][-1].log_losses.items()})
    if not given.ours_only:
        report(done["ours"], done["scikit-learn"])


def report(mine: list[Turn], peers: list[Turn]) -> None:
    """Print the ratio and the agreement."""
    ratios = sorted(peer.seconds / each.seconds for each, peer in zip(mine, peers, strict=True))
    print(f"ratio {statistics.median(ratios):.2f}  ({ratios[0]:.2f} to {ratios[-1]:.2f})")
    losses = peers[-1].log_losses
    at_mine, at_peers = losses[mine[-1].strength], losses[peers[-1].strength]
    print(
        f"held-out log loss: {at_mine:.5f} at ours, {at_peers:.5f} at theirs: {at_mine / at_peers - 1:+.3%}"
    )
    same = mine[-1].probabilities.argmax(axis=1) == peers[-1].probabilities.argmax(axis=1)
    print(f"predictions agree on {same.mean():.2%} of {len(same)} fresh rows")


if __name__ == "__main__":
    main()
