"""The plots of a report: motion by frequency, FVD against 1/N, distances to training clips."""

from videogen.artifacts import EvaluationReport
from videogen.evaluation.report.plots import Chart, Points, axis_of, chart_of
from videogen.evaluation.report.wording import spelled


def charts_of(report: EvaluationReport) -> list[Chart]:
    """Those for which the report has curves."""
    found = (_motion(report), _extrapolation(report), _nearest(report))
    return [chart for chart in found if chart is not None]


def _motion(report: EvaluationReport) -> Chart | None:
    curves = report.curves
    frequencies = curves.get("motion/frequency", ())
    powers = {"real": curves.get("motion/real", ()), "generated": curves.get("motion/fake", ())}
    return chart_of(
        "Motion, by how fast it is",
        axis_of("cycles per frame", frequencies, "linear"),
        axis_of(
            "power of frame differences, squared levels",
            (one for power in powers.values() for one in power),
            "log",
        ),
        {
            name: (
                "real" if name == "real" else "fake",
                list(zip(frequencies, power, strict=False)),
            )
            for name, power in powers.items()
        },
    )


def _extrapolation(report: EvaluationReport) -> Chart | None:
    inverse, values = report.curves.get("fvd/inverse_n", ()), report.curves.get("fvd/value", ())
    limit = report.metrics.get("fvd_infinity")
    points = list(zip(inverse, values, strict=False))
    lines: dict[str, tuple[str, Points]] = {"FVD": ("points", points)}
    if limit is not None and points:
        lines[f"fit, {spelled(limit)} at the end"] = ("fit", _fit(points, limit))
    return chart_of(
        "FVD against 1/N",
        axis_of("1 / number of clips", inverse, "linear"),
        axis_of("FVD", [*values, *([limit] if limit is not None else [])], "linear"),
        lines,
    )


def _fit(points: Points, limit: float) -> Points:
    """A least-squares line passes through the mean of its points: from 1/N = 0 to the last one."""
    x, y = (sum(one) / len(points) for one in zip(*points, strict=True))
    last = max(one for one, _ in points)
    slope = (y - limit) / x if x else 0.0
    return [(0.0, limit), (last, limit + slope * last)]


def _nearest(report: EvaluationReport) -> Chart | None:
    distances = {
        "real": report.curves.get("nearest/real", ()),
        "generated": report.curves.get("nearest/fake", ()),
    }
    lines: dict[str, tuple[str, Points]] = {}
    for name, found in distances.items():
        steps = max(len(found) - 1, 1)
        points = [(distance, 100 * index / steps) for index, distance in enumerate(found)]
        lines[name] = ("real" if name == "real" else "fake", points)
    return chart_of(
        "Distance to the nearest training clip",
        axis_of(
            "distance of features", (one for found in distances.values() for one in found), "linear"
        ),
        axis_of("% of clips that are as near", (0.0, 100.0), "linear"),
        lines,
    )
