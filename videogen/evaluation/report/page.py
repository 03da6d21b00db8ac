"""A report as one HTML file that needs nothing else, and that can reach nothing else.

Its content security policy forbids scripts and the network; pictures are data URIs. All that comes
from the report is escaped. The same report and pictures make the same bytes.
"""

import base64
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import PurePosixPath
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined

from videogen.artifacts import EvaluationReport, Protocol
from videogen.evaluation.report.plots import Chart, Points, axis_of, chart_of, ladder_of
from videogen.evaluation.report.wording import (
    YARDSTICKS,
    alarms,
    fvd_of,
    reading,
    spelled,
    standing,
)

_MEDIA_TYPES: Final = {
    ".png": "image/png",
    ".gif": "image/gif",
    ".mp4": "video/mp4",
    ".webm": "video/webm",
}
_GROUPS: Final = {
    "distance": ("fvd", "fvd_infinity", "fvd_n", "kvd"),
    "quality and cover": (
        *("precision", "density", "recall", "coverage"),
        *("inception_score", "inception_score_real"),
    ),
    "motion": ("motion_energy", "motion_distance_db", "motion_share", "order_share"),
    "memory and variety": ("near_copies", "diversity"),
}
_OTHER: Final = "other"


def render(report: EvaluationReport, pictures: Mapping[str, bytes]) -> str:
    """The page of a report; pictures by file name, as `draw_previews` makes them."""
    return (
        environment()
        .get_template("report.html.j2")
        .render(
            report=report,
            name=subject_of(report),
            fvd=fvd_of(report),
            standing=standing(report),
            alarms=alarms(report),
            ladder=ladder_of(
                f"FVD ({report.protocol.name})",
                {"this generator": (report.metrics["fvd"], report.intervals.get("fvd"))}
                if "fvd" in report.metrics
                else {},
                known_yardsticks(report),
            ),
            yardsticks=YARDSTICKS,
            groups=groups_of(report.metrics),
            charts=[chart for chart in _charts(report) if chart is not None],
            protocol=protocol_rows(report.protocol),
            pictures=embedded(pictures),
        )
    )


@cache
def environment() -> Environment:
    """Templates of pages: everything is escaped, and what is missing is an error."""
    found = Environment(
        loader=PackageLoader("videogen.evaluation.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters |= {"spelled": spelled, "reading": reading, "number": "{:,}".format}
    return found


def subject_of(report: EvaluationReport) -> str:
    """What was judged, in a few words."""
    if report.model:
        return report.model
    digest = report.checkpoint_manifest_sha256
    return f"checkpoint {digest[:12]}" if digest else "a generator"


def known_yardsticks(report: EvaluationReport) -> dict[str, float]:
    """The yardsticks of a report, the least faulty first, others last."""
    names = [*YARDSTICKS, *sorted(set(report.yardsticks) - set(YARDSTICKS))]
    return {name: report.yardsticks[name] for name in names if name in report.yardsticks}


def groups_of(names: Iterable[str]) -> dict[str, list[str]]:
    """Names of metrics by what they are about; what is not known comes last."""
    left = list(names)
    groups = {}
    for title, members in _GROUPS.items():
        groups[title] = [name for name in members if name in left]
        left = [name for name in left if name not in members]
    further = [name for name in left if name.startswith("fd_")]
    groups["distance"] += further
    groups[_OTHER] = [name for name in left if name not in further]
    return {title: found for title, found in groups.items() if found}


def protocol_rows(protocol: Protocol) -> dict[str, str]:
    """All of a protocol, by what each field means."""
    shown = {
        "name": protocol.name,
        "extractor": f"{protocol.extractor}, sha256 {protocol.extractor_sha256}",
        "precision of the extractor": protocol.precision,
        "clips": f"{protocol.num_real:,} real, {protocol.num_fake:,} generated",
        "window": f"{protocol.num_frames} frames, every {_ordinal(protocol.frame_stride)}",
        "frames": f"{protocol.width} x {protocol.height} pixels, stored as {protocol.frame_codec}",
        "split of the reals": protocol.split or "none",
        "seed": str(protocol.seed),
        "snapshot": protocol.snapshot or "none",
        "covariance": f"divided by {protocol.covariance.upper()}",
        "neighbours (k)": str(protocol.neighbours),
        "training clips searched": f"{protocol.num_training:,}",
    }
    for name, digest in protocol.extractors.items():
        shown[f"extractor {name}"] = f"sha256 {digest}"
    return shown


def embedded(pictures: Mapping[str, bytes]) -> dict[str, str]:
    """Data URIs by file name; what no browser shows is left out."""
    kinds = {name: _MEDIA_TYPES.get(PurePosixPath(name).suffix) for name in pictures}
    return {
        name: f"data:{kind};base64,{base64.b64encode(pictures[name]).decode()}"
        for name, kind in kinds.items()
        if kind is not None
    }


def _charts(report: EvaluationReport) -> tuple[Chart | None, ...]:
    return _motion(report), _extrapolation(report), _nearest(report)


def _motion(report: EvaluationReport) -> Chart | None:
    curves = report.curves
    frequencies = curves.get("motion/frequency", ())
    powers = {"real": curves.get("motion/real", ()), "generated": curves.get("motion/fake", ())}
    return chart_of(
        "Motion, by how fast it is",
        axis_of("cycles per frame", frequencies, "linear"),
        axis_of(
            "power of frame differences", (one for power in powers.values() for one in power), "log"
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


def _ordinal(stride: int) -> str:
    return "one" if stride == 1 else f"{stride}th of the source"
