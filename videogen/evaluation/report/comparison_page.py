"""Models side by side as one HTML file, under the same rules as a report's page."""

from collections.abc import Mapping

from videogen.artifacts import ComparedModel, ComparisonReport, ModelDifference
from videogen.evaluation.report.page import (
    embedded,
    environment,
    groups_of,
    protocol_rows,
)
from videogen.evaluation.report.plots import ladder_of
from videogen.evaluation.report.wording import YARDSTICKS, alarms, ordered_yardsticks, spelled


def render_comparison(report: ComparisonReport, pictures: Mapping[str, bytes]) -> str:
    """The page of a comparison; pictures by file name, as `draw_comparison` makes them."""
    names = {name: None for model in report.models for name in model.metrics}
    return (
        environment()
        .get_template("comparison.html.j2")
        .render(
            report=report,
            ladder=ladder_of(
                f"FVD ({report.protocol.name})",
                {
                    model.model: (model.metrics["fvd"], model.intervals.get("fvd"))
                    for model in report.models
                    if "fvd" in model.metrics
                },
                ordered_yardsticks(report.yardsticks),
            ),
            yardsticks=YARDSTICKS,
            verdicts=[(one, verdict(one)) for one in report.differences],
            groups=groups_of(names),
            alarms={model.model: _alarms(model, report) for model in report.models},
            protocol=protocol_rows(report.protocol),
            pictures=embedded(pictures),
        )
    )


def verdict(difference: ModelDifference) -> str:
    """What a difference says, as a sentence without its full stop."""
    low, high = (spelled(end) for end in difference.interval)
    figures = f"FVD difference {spelled(difference.difference)}, 95 %: {low} to {high}"
    if difference.better is None:
        return f"the difference may be chance ({figures}, p = {difference.p_value:.2g})"
    return f"{difference.better} is better ({figures}, p = {difference.p_value:.2g})"


def _alarms(model: ComparedModel, report: ComparisonReport) -> tuple[str, ...]:
    return alarms(model.metrics, report.yardsticks, report.protocol.num_fake)
