"""How an error falls with the number of pictures, as far as a few measured sizes can tell.

The error at n pictures is taken to be a floor and a power law, a + b n^-c, bent towards the error of a guess
where it comes near that. Four noisy sizes do not settle three numbers, so none is picked: every shape of
curve on a grid gets a weight by how well it fits, and what follows is drawn from all of them. Where the sizes
say little, the grid's own weights speak, and the interval is wide.

Source: the form: Hestness et al. 2017, "Deep Learning Scaling is Predictable, Empirically",
    https://arxiv.org/abs/1712.00409, and Rosenfeld et al. 2020, "A Constructive Prediction of the
    Generalization Error Across Scales", https://arxiv.org/abs/1909.12673. The weighting is ours.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

NUM_DRAWS = 4000
"""Curves that a prediction is drawn from; the ends of a 95 % interval then lie on 100 of them each."""

# a as a share of the error at the largest size: small ones are more usual
_FLOOR_SHARES = 0.95 * np.linspace(0, 1, 20) ** 2
_EXPONENTS = np.geomspace(0.1, 1.5, 24)
# Networks trained on all of their weights have exponents of 0.07 to 0.35 (Hestness); a linear layer on few
# pictures learns faster, so the middle lies at 0.5 and a half or a double of it is nothing unusual.
_USUAL_EXPONENT, _EXPONENT_SPREAD = 0.5, 0.7
_WORST = 0.97  # of the error of a guess: nearer to it nothing can be told from a guess


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Curves:
    """Curves that fit what was measured, each as likely as any other.

    Attributes:
        size: the largest number of pictures that was measured.
        guessing: error of a guess, in (0, 1], which few pictures come near.
        scales: float64 of shape (S,): the straightened error at that size.
        floor_shares: of shape (S,), in [0, 1): what more pictures never take away, as a share of it.
        exponents: of shape (S,): of the part that they do take away.
        weights: of shape (G,): what each shape on the grid weighs; a start for curves of the same kind.
    """

    size: float
    guessing: float
    scales: Floats
    floor_shares: Floats
    exponents: Floats
    weights: Floats

    def errors_at(self, size: float) -> Floats:
        """Return the error of each curve at a number of pictures: float64 of shape (S,)."""
        straight = self.scales * _shape(self.floor_shares, self.exponents, size / self.size)
        return _bent(straight, self.guessing)

    @property
    def floors(self) -> Floats:
        """The error of each curve with pictures without end: float64 of shape (S,)."""
        return _bent(self.scales * self.floor_shares, self.guessing)


def fit_curves(
    sizes: Floats,
    errors: Floats,
    covariance: Floats,
    *,
    guessing: float,
    start: Floats | None = None,
    usual: tuple[float, float] | None = None,
    num_draws: int = NUM_DRAWS,
    seed: int,
) -> Curves:
    """Return curves in proportion to how well they fit.

    Args:
        sizes: float64 of shape (M,), pictures, ascending, above 0.
        errors: of shape (M,): the measured error at each size, above 0.
        covariance: of shape (M, M): of the logarithms of the measured errors about the curve.
        guessing: error of a guess, in (0, 1].
        start: of shape (G,): what each shape weighs before it is fitted; None: the module's own.
        usual: an error at the largest size that is to be expected, and the standard deviation of its
            logarithm; None: any.
        num_draws: how many curves are drawn.
        seed: of the draws.
    """
    shares, exponents = (each.ravel() for each in np.meshgrid(_FLOOR_SHARES, _EXPONENTS, indexing="ij"))
    shapes = np.log(_shape(shares[:, None], exponents[:, None], sizes / sizes[-1]))  # (G, M)
    straight, slopes = _log_straightened(errors, guessing)
    precision = np.linalg.inv(covariance * np.outer(slopes, slopes))
    rest = straight - shapes  # the logarithm of the scale, as each size has it
    total, pull = float(precision.sum()), rest @ precision.sum(axis=1)
    if usual is not None:
        (middle,), (slope,) = _log_straightened(np.array([usual[0]]), guessing)
        known = (slope * usual[1]) ** -2
        # One more measurement, of the largest size: it says the same of every shape.
        total, pull = total + known, pull + middle * known
    misfit = np.einsum("gm,mn,gn->g", rest, precision, rest) - pull**2 / total
    logs = np.log(_usual_weights(exponents) if start is None else start) - misfit / 2
    weights = np.exp(logs - logs.max())
    weights /= weights.sum()
    generator = np.random.default_rng(seed)
    drawn = generator.choice(len(weights), size=num_draws, p=weights)
    scales = np.exp(pull[drawn] / total + total**-0.5 * generator.standard_normal(num_draws))
    return Curves(
        size=float(sizes[-1]),
        guessing=guessing,
        scales=scales,
        floor_shares=shares[drawn],
        exponents=exponents[drawn],
        weights=weights + 1e-12,  # so that its logarithm is finite
    )


def _log_straightened(errors: Floats, guessing: float) -> tuple[Floats, Floats]:
    """Return logarithms of errors as they would be if a guess were not the worst there is, and their slopes.

    Source: Rosenfeld et al. 2020, equation 5: from the error of a guess to the power law.
    """
    shares = np.clip(errors / guessing, 1e-9, _WORST)
    rest = 1 - np.square(shares)
    logs: Floats = np.log(guessing * shares) - np.log(rest) / 2
    return logs, 1 / rest


def _bent(straight: Floats, guessing: float) -> Floats:
    """Return the errors whose straightened forms these are."""
    bent: Floats = guessing * straight / np.hypot(straight, guessing)
    return bent


def _shape(floor_shares: Floats, exponents: Floats, growth: npt.ArrayLike) -> Floats:
    """Return the error where there are `growth` times the pictures, as a share of the error where it is 1."""
    falling: Floats = np.asarray(growth, np.float64) ** -exponents
    return floor_shares + (1 - floor_shares) * falling


def _usual_weights(exponents: Floats) -> Floats:
    weights: Floats = np.exp(-np.square(np.log(exponents / _USUAL_EXPONENT) / _EXPONENT_SPREAD) / 2)
    return weights
