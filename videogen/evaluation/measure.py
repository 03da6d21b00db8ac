"""From features to figures: all that a report says about a generator.

Pure and deterministic: the same features give the same figures to the bit. A figure that cannot be
had is left out, and a note says why.

Curves: `motion/frequency` in cycles per frame, `motion/real` and `motion/fake` the mean power there
in squared 8-bit levels; `fvd/inverse_n` (1/N) and `fvd/value`, the points through which FVD is
extrapolated; `nearest/fake` and `nearest/real`, the 0 %, 1 % … 100 % quantiles of the distance to
the nearest training clip.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Final

import numpy as np

from videogen.artifacts import Protocol
from videogen.errors import EvaluationError
from videogen.evaluation.clips.yardsticks import YARDSTICKS
from videogen.evaluation.features.store import Column, Columns, Role
from videogen.evaluation.metrics.diversity import mean_pairwise_distance
from videogen.evaluation.metrics.frechet import Covariance, frechet_distance, frechet_influences
from videogen.evaluation.metrics.inception import inception_score
from videogen.evaluation.metrics.infinity import extrapolate
from videogen.evaluation.metrics.intervals import Interval, frechet_interval
from videogen.evaluation.metrics.kernel import kernel_distance
from videogen.evaluation.metrics.memorisation import memorisation
from videogen.evaluation.metrics.motion import (
    mean_spectrum,
    motion_distance_db,
    motion_energy,
    motion_frequencies,
)
from videogen.evaluation.metrics.neighbours import neighbourhood
from videogen.evaluation.metrics.vectors import MIN_VECTORS

_I3D: Final = "i3d"
_MOTION: Final = "motion"
_CLOSEST: Final = 16
_TRUSTED_CLIPS: Final = 2048
_OTHER_DIVISOR: Final[dict[Covariance, tuple[Covariance, str]]] = {
    "n-1": ("n", "fvd_n"),
    "n": ("n-1", "fvd_n_minus_1"),
}
"""And what FVD with it is called."""


@dataclass(frozen=True)
class Closest:
    """A generated clip and its nearest training clip."""

    fake: int
    """Row of the fakes' features."""
    training: int
    """Row of the training clips' features."""
    distance: float
    """Euclidean, between features."""


@dataclass(frozen=True)
class Measured:
    """Figures by name; the names are those of `videogen.artifacts.EvaluationReport`."""

    metrics: dict[str, float] = field(default_factory=dict)
    intervals: dict[str, Interval] = field(default_factory=dict)
    """95 %, of some metrics."""
    yardsticks: dict[str, float] = field(default_factory=dict)
    curves: dict[str, tuple[float, ...]] = field(default_factory=dict)
    closest: tuple[Closest, ...] = ()
    """The fakes nearest to a training clip, nearest first; at most 16."""
    notes: tuple[str, ...] = ()


def measure(
    features: Mapping[Role, Columns], protocol: Protocol, *, disjoint: bool = True
) -> Measured:
    """Every figure that these features and this protocol allow.

    Args:
        features: by role; `real` and `fake` at least. Rows of `training` are all training clips
            that were looked at, in any order.
        protocol: divisor of covariances, neighbours, seed and frames of a clip are read from it.
        disjoint: whether the set that yardsticks are made of shares no clip with the reals; only
            then is there a floor.

    Raises:
        EvaluationError: fewer than two clips a side, or features that are not finite.
    """
    sheet = _Sheet(features, protocol)
    sheet.distances()
    sheet.hold_against_yardsticks(disjoint=disjoint)
    sheet.sets()
    sheet.motion()
    sheet.near_copies()
    for name in protocol.extractors:
        sheet.other_distance(name, disjoint=disjoint)
    return Measured(
        metrics=sheet.metrics,
        intervals=sheet.intervals,
        yardsticks=sheet.yardsticks,
        curves=sheet.curves,
        closest=sheet.closest,
        notes=tuple(sheet.notes),
    )


@dataclass
class _Sheet:
    """A report's figures as they are filled in."""

    features: Mapping[Role, Columns]
    protocol: Protocol
    metrics: dict[str, float] = field(default_factory=dict)
    intervals: dict[str, Interval] = field(default_factory=dict)
    yardsticks: dict[str, float] = field(default_factory=dict)
    curves: dict[str, tuple[float, ...]] = field(default_factory=dict)
    closest: tuple[Closest, ...] = ()
    notes: list[str] = field(default_factory=list)

    def distances(self) -> None:
        """FVD with either divisor and without end, KVD."""
        real, fake = self._pair(_I3D)
        covariance = self.protocol.covariance
        parts, influences = frechet_influences(real, fake, covariance)
        other, name = _OTHER_DIVISOR[covariance]
        self.metrics |= {"fvd": parts.distance(covariance), name: parts.distance(other)}
        self.intervals["fvd"] = frechet_interval(self.metrics["fvd"], influences)
        endless = extrapolate(real, fake, covariance, self.protocol.seed)
        if endless is not None:
            self.metrics["fvd_infinity"] = endless.value
            self.curves |= {"fvd/inverse_n": endless.inverse_n, "fvd/value": endless.distances}
        kernel = kernel_distance(real, fake)
        self.metrics["kvd"], self.intervals["kvd"] = kernel.value, kernel.interval
        self.notes += bias_notes(min(len(real), len(fake)), real.shape[1])

    def hold_against_yardsticks(self, *, disjoint: bool) -> None:
        """FVD of spoiled reals, and how much of that scale motion and order are."""
        real, _ = self._pair(_I3D)
        for role in YARDSTICKS:
            spoiled = self._column(role, _I3D)
            if spoiled is not None and (role != "floor" or disjoint):
                covariance = self.protocol.covariance
                self.yardsticks[role] = frechet_distance(real, spoiled, covariance)
        floor, blank = self.yardsticks.get("floor"), self.yardsticks.get("blank")
        if floor is None or blank is None or blank <= floor:
            self.notes.append(
                "motion_share and order_share are left out: they are read between a floor and "
                "blank clips that lie above it"
            )
            return
        for name, role in (("motion_share", "frozen"), ("order_share", "shuffled")):
            if role in self.yardsticks:
                self.metrics[name] = (self.yardsticks[role] - floor) / (blank - floor)

    def sets(self) -> None:
        """Inception Score, precision and its kin, diversity."""
        real, fake = self._pair(_I3D)
        for name, logits in (("inception_score", fake), ("inception_score_real", real)):
            score = inception_score(logits)
            self.metrics[name], self.intervals[name] = score.value, score.interval
        spread = mean_pairwise_distance(real)
        if spread > 0:
            self.metrics["diversity"] = mean_pairwise_distance(fake) / spread
        else:
            self.notes.append("diversity is left out: the reals are all alike")
        k, num = self.protocol.neighbours, min(len(real), len(fake))
        if num > k:
            self.metrics |= asdict(neighbourhood(real, fake, k))
        else:
            self.notes.append(
                f"precision, recall, density and coverage are left out: {k} neighbours of each "
                f"clip need more than {k} clips a side, there are {num}"
            )

    def motion(self) -> None:
        """Energy and spectrum of what changes between frames."""
        real, fake = self._column("real", _MOTION), self._column("fake", _MOTION)
        if real is None or fake is None:
            self.notes.append("motion is left out: its spectra were not taken")
            return
        energy = motion_energy(real, fake)
        if energy is None:
            self.notes.append("motion_energy is left out: nothing moves in the reals")
        else:
            self.metrics["motion_energy"] = energy
        self.metrics["motion_distance_db"] = motion_distance_db(real, fake)
        self.curves |= {
            "motion/frequency": motion_frequencies(self.protocol.num_frames),
            "motion/real": tuple(mean_spectrum(real).tolist()),
            "motion/fake": tuple(mean_spectrum(fake).tolist()),
        }

    def near_copies(self) -> None:
        """The nearest training clip of each fake."""
        (real, fake), training = self._pair(_I3D), self._column("training", _I3D)
        num = 0 if training is None else len(training)
        if training is None or num < MIN_VECTORS:
            self.notes.append(
                f"near_copies is left out: {num} training clips were looked at "
                f"(evaluate.training_clips), at least {MIN_VECTORS} are needed"
            )
            return
        found = memorisation(fake, real, training)
        self.metrics["near_copies"] = found.rate
        self.curves |= {f"nearest/{name}": curve for name, curve in found.quantiles().items()}
        order = np.argsort(found.fake, kind="stable")[:_CLOSEST].tolist()
        self.closest = tuple(
            Closest(row, int(found.index[row]), float(found.fake[row])) for row in order
        )

    def other_distance(self, name: str, *, disjoint: bool) -> None:
        """Fréchet distance of the features of another extractor, and its floor."""
        real, fake = self._pair(name)
        covariance, metric = self.protocol.covariance, f"fd_{name}"
        parts, influences = frechet_influences(real, fake, covariance)
        self.metrics[metric] = parts.distance(covariance)
        self.intervals[metric] = frechet_interval(self.metrics[metric], influences)
        floor = self._column("floor", name)
        if floor is not None and disjoint:
            self.metrics[f"{metric}_floor"] = frechet_distance(real, floor, covariance)
        if min(len(real), len(fake)) <= real.shape[1]:
            self.notes.append(
                f"{metric}: fewer clips than its {real.shape[1]} features a side, so it is biased "
                "upwards by far: compare it with its floor only"
            )

    def _pair(self, column: str) -> tuple[Column, Column]:
        real, fake = self._column("real", column), self._column("fake", column)
        if real is None or fake is None:
            raise EvaluationError(
                f"no features {column!r} of the {'reals' if real is None else 'fakes'}: they were "
                "not taken"
            )
        return real, fake

    def _column(self, role: Role, column: str) -> Column | None:
        return self.features.get(role, {}).get(column)


def bias_notes(num: int, width: int, beside: str = "yardsticks") -> tuple[str, ...]:
    """What must be known of FVD with `num` clips a side and `width` features.

    `beside` names what stands beside it, to be compared with.
    """
    if num >= _TRUSTED_CLIPS:
        return ()
    against = f"compare it with the {beside} and with values of the same protocol only"
    if num > width:
        return (f"FVD is biased upwards at N = {num}: {against}",)
    singular = (
        f"FVD is biased upwards by far: {num} clips a side are no more than its {width} features, "
        "so the covariances are singular (two Gaussians at a true distance of 4.0 measure 300 at "
        f"N = 256): {against}"
    )
    return (singular,)
