"""Whether two generators differ by more than chance: same seeds, same reals, a paired bootstrap."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float

from videogen.errors import EvaluationError
from videogen.evaluation.metrics.frechet import (
    Covariance,
    Influences,
    frechet,
    frechet_influences,
)
from videogen.evaluation.metrics.intervals import Z_95, Interval, jackknife_quantile
from videogen.evaluation.metrics.vectors import Vectors

Weights = Float[np.ndarray, " n"]

_DRAWS: Final = 4999
_BLOCK: Final = 250
_SIGNIFICANT: Final = 0.05
_STEP: Final = 0.4
_TURNS: Final = 64
"""Of reweighting, at N = 256 and fewer; with more clips fewer do, down to a quarter."""
_FEW_CLIPS: Final = 256


@dataclass(frozen=True)
class Difference:
    """FVD of one generator less that of another."""

    value: float
    interval: Interval
    """95 %."""
    p_value: float
    """Two-sided, of no difference; at least 1 / 5,000."""

    @property
    def significant(self) -> bool:
        """Whether it is more than chance, at 5 %."""
        return self.p_value < _SIGNIFICANT


def paired_difference(
    real: Vectors, fake: Vectors, other: Vectors, covariance: Covariance = "n-1", seed: int = 0
) -> Difference:
    """FVD(fake) - FVD(other) against the same reals, row i of both drawn from the same seed.

    Seeds and reals are drawn again, with both generators' clips of a seed together. What is
    evaluated for each draw is the difference's expansion to first order in the clips' weights:
    the features drawn again would have repeats, whose bias is larger than most differences. What
    such draws vary too much, since their slopes carry the noise of the clips that they are applied
    to, is measured by reweighting the clips (`_pairs_variance`) and taken off.

    Of generators that were equally good, 0 to 8 % were told apart at 5 % (d = 400, N = 64 and 256,
    the kinds of features named in `intervals`; I3D's logits of moving shapes: 2 and 3 %), and about
    half of the p-values lay below a half, as they should. It is a test of one pair: of many pairs,
    one in twenty is told apart by chance.

    Both estimates have the bias of their N. Where the generators' spreads differ much, so does
    that bias: the test is of what FVD measures at this N.

    Raises:
        EvaluationError: the generators have not the same number of clips; else as
            `frechet_distance`.
    """
    if len(fake) != len(other):
        raise EvaluationError(
            f"one generator has {len(fake)} clips, the other {len(other)}: a paired comparison "
            "needs the same seeds of both"
        )
    first, of_first = frechet_influences(real, fake, covariance)
    second, of_second = frechet_influences(real, other, covariance)
    value = first.distance(covariance) - second.distance(covariance)
    slopes = of_first[0] - of_second[0], of_first[1] - of_second[1]
    variance = float(sum(np.square(slope).sum() for slope in slopes))
    if variance <= 0:  # clips that are all alike: nothing is left to chance
        return Difference(value, (value, value), 1 / (_DRAWS + 1) if value else 1.0)
    generator = np.random.default_rng(seed)
    beyond = _pairs_variance(_Trio(real, fake, other, covariance), value, generator)
    kept = max(1 - beyond / variance, 0.5)  # by theory no less
    width = np.sqrt(kept) * jackknife_quantile(np.concatenate(slopes)) / Z_95
    noise = width * _redrawn(slopes, generator)
    low, high = np.quantile(noise, (0.025, 0.975)).tolist()
    extreme = int((np.abs(noise) >= abs(value)).sum())
    return Difference(value, (value - high, value - low), (extreme + 1) / (_DRAWS + 1))


@dataclass(frozen=True)
class _Trio:
    """What is compared."""

    real: Vectors
    fake: Vectors
    other: Vectors
    covariance: Covariance

    def difference(self, of_reals: Weights, of_seeds: Weights) -> float:
        """Of the two distances, where clips count by these weights."""
        weights = of_reals, of_seeds
        one = frechet(self.real, self.fake, weights).distance(self.covariance)
        return one - frechet(self.real, self.other, weights).distance(self.covariance)


def _pairs_variance(trio: _Trio, value: float, generator: np.random.Generator) -> float:
    """Variance of the difference that pairs of clips have beyond what each has alone.

    With weights 1 + e w and 1 - e w, w of random signs, the sum of the two differences less twice
    the value is e^2 w'H w, H being the second derivative by the weights; the variance of w'H w
    over w is 2 |H|^2 off its diagonal, four times that of the differences' own second-order part.
    """
    clips = len(trio.fake)
    turns = _TURNS if clips <= _FEW_CLIPS else max(_TURNS * _FEW_CLIPS // clips, _TURNS // 4)
    bends = []
    for _ in range(turns):
        signs = [_signs(len(one), generator) for one in (trio.real, trio.fake)]
        more, less = ([1 + sign * _STEP * one for one in signs] for sign in (1, -1))
        bends.append(trio.difference(*more) + trio.difference(*less) - 2 * value)
    return float(np.var(np.array(bends) / _STEP**2, ddof=1) / 4)


def _signs(num: int, generator: np.random.Generator) -> Weights:
    """As many of 1 as of -1, in random order; a 0 where `num` is odd."""
    signs = np.zeros(num)
    signs[: num // 2], signs[num - num // 2 :] = 1, -1
    return generator.permutation(signs)


def _redrawn(slopes: Influences, generator: np.random.Generator) -> Float[np.ndarray, " draws"]:
    """What the difference moves by where clips of both sides are drawn again, with repeats."""
    blocks = []
    for start in range(0, _DRAWS, _BLOCK):
        size = min(_BLOCK, _DRAWS - start)
        drawn = [
            one[generator.integers(len(one), size=(size, len(one)))].sum(axis=1) for one in slopes
        ]
        blocks.append(drawn[0] + drawn[1])
    return np.concatenate(blocks)
