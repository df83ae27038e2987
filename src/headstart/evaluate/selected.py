"""How good the best of many candidates really is: its score without the luck that made it the best."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from headstart.core.errors import InputError
from headstart.evaluate.correctness import check_correctness
from headstart.evaluate.intervals import Floats, Integers, critical_value, wilson
from headstart.evaluate.records import Estimate

NUM_PARTS = 15
"""Each choice sees all but a fifteenth of the pictures. With fewer parts choices are less like the real one,
whose winner is then underestimated (by up to 0.3 points of 100 pictures with 10 parts, 0.6 with 5); with more
the estimate is noisier."""

NUM_DEALS = 20
"""How often the pictures are dealt to the parts anew: 300 choices, whose own noise is then small."""

_MAX_BLOCKS = 300  # more pictures are dealt in blocks, so that the work does not grow with their number
_DECIMALS = 9  # sums of averages over repeats differ in their last bits; this is no difference
_NUM_RACES = 100  # pairs of drawn races behind the interval: its width is then known to about 5 %
_NUM_NOISES = 30  # pairs of noises for the choices within a drawn race


def corrected_best(
    correct: npt.ArrayLike, *, by: npt.ArrayLike | None = None, seed: int, confidence: float = 0.95
) -> Estimate:
    """Return the true accuracy of the candidate with the highest measured one, without the winner's luck.

    The best of many measured accuracies is too high: it was chosen because luck was with it. So the choice
    is made again without a fifteenth of the pictures, and whoever wins there is scored on that fifteenth,
    which had no part in the choice; averaged over all fifteenths and many ways to deal them. That is, for
    whatever distribution and dependence of the candidates, without bias for the winner of the other pictures.
    It is unbiased for the winner of all pictures too where the candidates are equal or one is far ahead, and
    a little too low between, by what a choice on fewer pictures loses against one on all: in
    `benchmarks/coverage.py` by up to 0.2 points with 100 pictures, less than 0.1 from 400 on. It is never
    above the measured accuracy.

    The interval is Wilson's, at either end with as much variance more as (estimate - truth) has on that side
    in drawn races than the share of N pictures: races of candidates whose true accuracies are the measured
    ones, drawn together until they are spread as they are without the noise, but none by more than its
    standard deviation, for one that is far ahead is no chance; measured with normal noise of the measured
    covariance.

    Args:
        correct: of shape (M, N), how right candidate m was on picture i: 0 or 1, or an average over repeats.
            The best is the row with the highest mean; of equal ones the first.
        by: of shape (M, N), what the choice is made by where that is not how right they were: the row with
            the highest mean is chosen. The interval takes it for as noisy as being right is.
        seed: of the deals and the drawn races; the same seed gives the same estimate.
        confidence: of the interval, between 0 and 1.

    Returns:
        The estimate, with method "corrected"; its n is N.

    Raises:
        InputError: there is no candidate or no picture, or a value is out of its range.

    Example:
        >>> correct = np.random.default_rng(1).random((20, 1000)) < 0.8
        >>> float(correct.mean(axis=1).max()), round(corrected_best(correct, seed=0).value, 2)
        (0.822, 0.81)

    Source: choosing inside cross-validation is Stone 1974, https://doi.org/10.1111/j.2517-6161.1974.tb00994.x,
        and of candidates already predicted Tsamardinos, Greasidou and Borboudakis 2018,
        https://doi.org/10.1007/s10994-018-5714-4, whose bootstrap samples show each choice 63 % of the
        pictures, which is too few for a choice like the real one. With normal noise it is the coupled
        bootstrap of Oliveira, Lei and Tibshirani 2021, https://arxiv.org/abs/2111.09447, with
        alpha^2 = 1/14. The spread without the noise: Efron and Morris 1973,
        https://doi.org/10.1080/01621459.1973.10481350; means of that spread: Louis 1984,
        https://doi.org/10.1080/01621459.1984.10478062; none drawn too far: Efron and Morris 1972,
        "Limiting the risk of Bayes and empirical Bayes estimators, part II", JASA 67.
    """
    critical_value(confidence)  # its check
    rows = check_correctness(correct, ("M", "N"))
    merits = rows if by is None else np.asarray(by, np.float64)
    if merits.shape != rows.shape or not np.isfinite(merits).all():
        raise InputError(f"merits of shape {merits.shape} were given, expected finite ones of {rows.shape}")
    num_pictures = rows.shape[1]
    generator = np.random.default_rng(seed)
    value = _score_choices(rows, merits, generator)
    too_low, too_high = _mean_squares(rows, generator)
    single = value * (1 - value) / num_pictures
    # Less variance than that of N single answers may be chance, and is not relied on.
    below, above = (
        wilson(
            value * num_pictures,
            num_pictures,
            confidence=confidence,
            more_variance=max(0.0, mean_square - single),
        )
        for mean_square in (too_high, too_low)
    )
    return replace(below, value=value, high=above.high, method="corrected")


def _score_choices(rows: Floats, merits: Floats, generator: np.random.Generator) -> float:
    """Return the mean accuracy, on the part left out, of the candidates chosen on the other parts."""
    num_pictures = rows.shape[1]
    blocks, merit_blocks = _sum_blocks((rows, merits), generator)  # (M, G) each
    deal = _deal(blocks.shape[1], generator)  # (G, R*P)
    held = blocks @ deal  # (M, R*P)
    seen = np.round(merit_blocks.sum(axis=1, keepdims=True) - merit_blocks @ deal, _DECIMALS)
    chosen = seen.argmax(axis=0)
    score = held[chosen, np.arange(held.shape[1])].sum() / (NUM_DEALS * num_pictures)
    return float(min(max(score, 0.0), 1.0))


def _sum_blocks(tables: tuple[Floats, Floats], generator: np.random.Generator) -> tuple[Floats, Floats]:
    """Return sums over the same random blocks of pictures, (M, G) each; blocks of one where there are few."""
    num_pictures = tables[0].shape[1]
    if num_pictures <= _MAX_BLOCKS:
        return tables
    starts = np.arange(_MAX_BLOCKS) * num_pictures // _MAX_BLOCKS
    order = generator.permutation(num_pictures)
    first, second = (np.add.reduceat(each[:, order], starts, axis=1) for each in tables)
    return first, second


def _deal(num_blocks: int, generator: np.random.Generator) -> Floats:
    """Return which blocks are in which part of which deal: 0 or 1, of shape (G, R*P)."""
    num_parts = min(NUM_PARTS, num_blocks)
    parts = np.tile(np.arange(num_blocks) % num_parts, (NUM_DEALS, 1))
    columns = generator.permuted(parts, axis=1) + np.arange(NUM_DEALS)[:, None] * num_parts  # (R, G)
    held: Floats = np.zeros((num_blocks, NUM_DEALS * num_parts))
    held[np.arange(num_blocks), columns] = 1
    return held


def _mean_squares(rows: Floats, generator: np.random.Generator) -> tuple[float, float]:
    """Return the mean squares of (estimate - truth) in drawn races: of those below 0, of those above.

    0 and 0 where there is no choice or no variance.
    """
    num_candidates, num_pictures = rows.shape
    if num_candidates == 1 or num_pictures == 1:
        return 0.0, 0.0
    covariance = np.cov(rows) / num_pictures  # (M, M)
    values, vectors = np.linalg.eigh(covariance)
    root = (vectors * np.sqrt(values.clip(0))).T.astype(np.float32)  # standard normal rows @ root: the noise
    truth = _shrink(rows.mean(axis=1), covariance)
    measured = truth + _noise(_NUM_RACES, root, generator)  # (races, M)
    best = truth[measured.argmax(axis=1)]
    errors = _score_drawn(measured, _noise(_NUM_NOISES, root, generator)) - best
    return _mean_square(errors[errors < 0]), _mean_square(errors[errors > 0])


def _mean_square(errors: Floats) -> float:
    return float(np.square(errors).mean()) if len(errors) else 0.0


def _shrink(means: Floats, covariance: Floats) -> npt.NDArray[np.float32]:
    """Return the measured accuracies drawn together to the spread that they have without the noise.

    None is moved by more than a standard deviation of the noise.
    """
    num_candidates = len(means)
    noise = (np.trace(covariance) - covariance.sum() / num_candidates) / (num_candidates - 1)
    spread = means.var(ddof=1)
    share = max(0.0, 1 - noise / spread) if spread > 0 else 0.0
    drawn = means.mean() + np.sqrt(share) * (means - means.mean())
    limit = np.sqrt(max(0.0, noise))
    return np.asarray(drawn.clip(means - limit, means + limit), dtype=np.float32)


def _noise(
    num: int, root: npt.NDArray[np.float32], generator: np.random.Generator
) -> npt.NDArray[np.float32]:
    """Return noise of the measured covariance and its opposite, float32 of shape (2 * num, M)."""
    drawn = generator.standard_normal((num, len(root)), dtype=np.float32) @ root
    return np.concatenate([drawn, -drawn])


def _score_drawn(measured: npt.NDArray[np.float32], noises: npt.NDArray[np.float32]) -> Floats:
    """Return what `_score_choices` would find in drawn races, of shape (races,).

    The accuracy on all parts but one is the measured one and some noise; that on the other is then the
    measured one less so many times that noise as there are parts but one.
    """
    places, total = np.arange(len(measured)), np.zeros(len(measured))
    scale = np.float32(1 / np.sqrt(NUM_PARTS - 1))
    for noise in noises * scale:
        chosen: Integers = (measured + noise).argmax(axis=1)
        total += measured[places, chosen] - (NUM_PARTS - 1) * noise[chosen]
    return total / len(noises)
