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
from videogen.evaluation.report.charts import charts_of
from videogen.evaluation.report.plots import ladder_of
from videogen.evaluation.report.wording import (
    YARDSTICKS,
    alarms,
    fvd_of,
    ordered_yardsticks,
    reading,
    spelled,
    standing,
)

_MEDIA_TYPES: Final = {".png": "image/png", ".mp4": "video/mp4"}
_GROUPS: Final = {
    "distance": ("fvd", "fvd_infinity", "fvd_n", "fvd_n_minus_1", "kvd"),
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
            alarms=alarms(report.metrics, report.yardsticks, report.protocol.num_fake),
            ladder=ladder_of(
                f"FVD ({report.protocol.name})",
                {"this generator": (report.metrics["fvd"], report.intervals.get("fvd"))}
                if "fvd" in report.metrics
                else {},
                ordered_yardsticks(report.yardsticks),
            ),
            yardsticks=YARDSTICKS,
            groups=groups_of(report.metrics),
            charts=charts_of(report),
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
        "window": f"{protocol.num_frames} frames, stride {protocol.frame_stride}",
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
    """Data URIs by file name, of those kinds that pages show."""
    kinds = {name: _MEDIA_TYPES.get(PurePosixPath(name).suffix) for name in pictures}
    return {
        name: f"data:{kind};base64,{base64.b64encode(pictures[name]).decode()}"
        for name, kind in kinds.items()
        if kind is not None
    }
