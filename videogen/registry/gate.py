"""The gate: what a candidate becomes, judged by its own figures and by the champion's.

Pure, and deliberately strict. The first model is judged on absolute thresholds. A later one takes
the champion's place only where it meets them too, both were measured by the very same protocol
(extractor, counts, split, seed and snapshot) and its FVD is lower: an FVD against other reals is
another number. What a protocol says of figures beside FVD does not count. All else stays a
challenger, which a person may promote.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from videogen.artifacts import EvaluationReport
from videogen.config.sections import RegisterConfig

Role = Literal["champion", "challenger"]

_BESIDE_FVD: Final = frozenset({"neighbours", "num_training", "extractors"})
"""Fields of a protocol that FVD does not depend on."""
_UNSAID: Final[Mapping[str, object]] = {"precision": "fp32"}
"""What held before protocols said so."""


@dataclass(frozen=True)
class Judged:
    """The figures of a version that count at the gate; a figure that is missing is NaN."""

    fvd: float
    blank: float
    """FVD of blank clips, by the same protocol."""
    dataset: str
    protocol: Mapping[str, object]

    @classmethod
    def of(cls, report: EvaluationReport, dataset: str) -> "Judged":
        """Of a candidate."""
        return cls(
            report.metrics.get("fvd", math.nan),
            report.yardsticks.get("blank", math.nan),
            dataset,
            report.protocol.model_dump(mode="json"),
        )


@dataclass(frozen=True)
class Decision:
    """What a candidate becomes, and why."""

    role: Role
    reasons: tuple[str, ...]


def decide(candidate: Judged, champion: Judged | None, thresholds: RegisterConfig) -> Decision:
    """Judge a candidate; `champion` is None where the model has none yet."""
    met, missed = _absolute(candidate, thresholds)
    if missed:
        return Decision("challenger", missed)
    if champion is None:
        return Decision("champion", (*met, "there is no champion yet"))
    missed = _relative(candidate, champion)
    if missed:
        return Decision("challenger", (*met, *missed))
    return Decision(
        "champion", (*met, f"FVD {candidate.fvd:.1f} is below the champion's {champion.fvd:.1f}")
    )


def _absolute(
    candidate: Judged, thresholds: RegisterConfig
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What is met, and what is not."""
    if not math.isfinite(candidate.fvd):
        return (), ("there is no finite FVD in the report",)
    if not math.isfinite(candidate.blank):
        return (), ("there is no finite FVD of blank clips in the report to compare with",)
    limit = thresholds.max_fvd_to_blank * candidate.blank
    limits = {f"{thresholds.max_fvd_to_blank:g} of the blank clips' {candidate.blank:.1f}": limit}
    if thresholds.max_fvd is not None:
        limits[f"max_fvd {thresholds.max_fvd:g}"] = thresholds.max_fvd
    fvd = f"FVD {candidate.fvd:.1f}"
    met = tuple(f"{fvd} is below {name}" for name, one in limits.items() if candidate.fvd < one)
    missed = tuple(
        f"{fvd} is not below {name}" for name, one in limits.items() if candidate.fvd >= one
    )
    return met, missed


def _relative(candidate: Judged, champion: Judged) -> tuple[str, ...]:
    """Why the candidate does not replace the champion; nothing where it does."""
    of_candidate, of_champion = ({**_UNSAID, **one.protocol} for one in (candidate, champion))
    names = sorted({*of_candidate, *of_champion} - _BESIDE_FVD)
    different = [name for name in names if of_candidate.get(name) != of_champion.get(name)]
    reason = ""
    if not math.isfinite(champion.fvd):
        reason = "the champion has no recorded FVD; promote by hand if this one is better"
    elif candidate.dataset != champion.dataset:
        reason = f"the champion was made from dataset {champion.dataset!r}: not comparable"
    elif different:
        reason = f"the champion's FVD is of another protocol ({', '.join(different)})"
    elif candidate.fvd >= champion.fvd:
        reason = f"FVD {candidate.fvd:.1f} is not below the champion's {champion.fvd:.1f}"
    return (reason,) if reason else ()
