"""What a report says in words: how each figure is read, where the generator stands, alarms."""

import math
from collections.abc import Mapping
from typing import Final

from videogen.artifacts import EvaluationReport

YARDSTICKS: Final = {
    "floor": "other real clips: what is at it cannot be told from them",
    "shuffled": "real clips with their frames shuffled in time",
    "frozen": "real clips that stand still",
    "blank": "one colour each, that of a real clip",
}
"""What the same distance measures for clips whose faults are known, the least faulty first."""

_ORDINARY_COPIES: Final = 0.05
"""Rate of near-copies among clips that are as far from the training clips as reals are."""
_MANY_COPIES: Final = 0.1
_SURE: Final = 3.0
"""Standard deviations above what chance makes of the ordinary rate."""
_FEW_DIFFERENCES: Final = 0.5
_STILL: Final = 0.25

_READINGS: Final = {
    "fvd": (
        "Fréchet distance of I3D's logits; lower is nearer to the reals. Biased upwards where "
        "there are few clips, and blind to much damage in time: read it on the yardsticks' axis, "
        "and only against reports of the same protocol."
    ),
    "fvd_n": "The same, with the other divisor of covariances, for comparison with other tools.",
    "fvd_n_minus_1": "The same with covariances divided by N-1, for comparison with other reports.",
    "fvd_infinity": (
        "FVD extrapolated to endlessly many clips: most of the bias of small sets is gone."
    ),
    "kvd": "Kernel distance of the same logits: unbiased, near 0 (or below) for equal sets.",
    "inception_score": (
        "Sharp and varied classes; higher is better, and it never looks at the reals: compare it "
        "with theirs."
    ),
    "inception_score_real": "The Inception Score of the reals.",
    "precision": "Share of generated clips that lie among real ones, 0 to 1: how good they look.",
    "recall": "Share of real clips that lie among generated ones, 0 to 1: how much is covered.",
    "density": "Like precision, less swayed by outliers; 1 for equal sets, may exceed it.",
    "coverage": "Share of real clips with a generated one nearby, 0 to 1; falls with collapse.",
    "diversity": (
        "Mean distance between generated clips, as a multiple of the reals'; 1 is alike, far "
        "below it means that the generator makes the same clip again and again."
    ),
    "motion_energy": "How much changes between frames, as a multiple of the reals'; 1 is alike.",
    "motion_distance_db": "How far the spectra of motion lie apart, in decibels; 0 is alike.",
    "motion_share": (
        "How much of the way from the floor to blank clips this distance goes for clips that "
        "merely stand still: what it can see of missing motion."
    ),
    "order_share": (
        "The same for frames in random order: what it can see of motion that makes no sense."
    ),
    "near_copies": (
        "Share of generated clips nearer to a training clip than 95 % of reals are to another "
        "one; about 0.05 where nothing was learned by heart."
    ),
}


def reading(name: str) -> str:
    """How a metric is read, in plain words."""
    if name.startswith("fd_") and name.endswith("_floor"):
        return "What that distance is between reals and other reals."
    if name.startswith("fd_"):
        return (
            f"Fréchet distance of the features of {name.removeprefix('fd_')}, lower is better; "
            "not comparable with FVD."
        )
    return _READINGS.get(name, "")


def ordered_yardsticks(values: Mapping[str, float]) -> dict[str, float]:
    """The yardsticks, the least faulty first, others last."""
    names = [*YARDSTICKS, *sorted(set(values) - set(YARDSTICKS))]
    return {name: values[name] for name in names if name in values}


def fvd_of(report: EvaluationReport) -> str:
    """FVD with its interval, as far as they are there."""
    value = report.metrics.get("fvd")
    return "missing" if value is None else with_interval(value, report.intervals.get("fvd"))


def with_interval(value: float, interval: tuple[float, float] | None) -> str:
    """A figure with its 95 % interval."""
    if interval is None:
        return spelled(value)
    low, high = interval
    return f"{spelled(value)} (95 %: {spelled(low)} to {spelled(high)})"


def standing(report: EvaluationReport) -> str:
    """Where FVD lies among the yardsticks, as the predicate of a sentence."""
    value = report.metrics.get("fvd")
    known = {name: report.yardsticks[name] for name in YARDSTICKS if name in report.yardsticks}
    if value is None or not known:
        return "has nothing to be held against"
    low, high = report.intervals.get("fvd", (value, value))
    alike = [_named(name, one) for name, one in known.items() if low <= one <= high]
    if alike:
        return f"cannot be told from {' or '.join(alike)}"
    ordered = sorted(known.items(), key=lambda item: item[1])
    nearer = [_named(*item) for item in ordered if item[1] < value]
    farther = [_named(*item) for item in ordered if item[1] > value]
    if nearer and farther:
        return f"lies between {nearer[-1]} and {farther[0]}"
    side, sign = ("farther from", nearer[-1]) if nearer else ("nearer to", farther[0])
    return f"is {side} the reals than {sign}"


def alarms(
    metrics: Mapping[str, float], yardsticks: Mapping[str, float], num_fake: int
) -> tuple[str, ...]:
    """What somebody must look at before anything else is believed; mostly there is none."""
    found = []
    blank, fvd = yardsticks.get("blank"), metrics.get("fvd")
    if fvd is not None and blank is not None and fvd >= blank:
        found.append(
            f"no better than blank clips by FVD ({spelled(fvd)} against {spelled(blank)}), "
            "whatever the clips look like"
        )
    diversity = metrics.get("diversity")
    if diversity is not None and diversity < _FEW_DIFFERENCES:
        found.append(
            f"collapse: generated clips differ {spelled(diversity)} times as much as reals do"
        )
    copies = metrics.get("near_copies")
    if copies is not None and copies > _copies_by_chance(num_fake):
        found.append(
            f"near-copies: {copies:.0%} of the generated clips lie closer to a training clip than "
            f"{_ORDINARY_COPIES:.0%} of reals do: look at the closest pairs"
        )
    energy = metrics.get("motion_energy")
    if energy is not None and energy < _STILL:
        found.append(f"hardly any motion: {spelled(energy)} times that of the reals")
    return tuple(found)


def spelled(value: float) -> str:
    """A number with about four digits that mean something."""
    if not math.isfinite(value):
        return str(value)
    size = abs(value)
    digits = 0 if size >= 100 else 1 if size >= 10 else 2 if size >= 1 else 3  # noqa: PLR2004 - see above
    if 0 < size < 0.001:  # noqa: PLR2004 - nothing would be left of it
        return f"{value:.2g}"
    return f"{value:,.{digits}f}"


def _copies_by_chance(num: int) -> float:
    deviation = math.sqrt(_ORDINARY_COPIES * (1 - _ORDINARY_COPIES) / max(num, 1))
    return max(_MANY_COPIES, _ORDINARY_COPIES + _SURE * deviation)


def _named(yardstick: str, value: float) -> str:
    name = "the floor" if yardstick == "floor" else f"{yardstick} clips"
    return f"{name} ({spelled(value)})"
