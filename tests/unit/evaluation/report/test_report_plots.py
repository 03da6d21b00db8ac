"""Axes, charts and the ladder."""

import math

import numpy as np
import pytest
from some_report import report

from videogen.evaluation.report.charts import charts_of
from videogen.evaluation.report.plots import HEIGHT, WIDTH, axis_of, ladder_of


def test_an_axis_shows_every_value_in_its_order_with_a_few_ticks() -> None:
    rng = np.random.default_rng(0)
    for _ in range(500):
        size = 10.0 ** rng.uniform(-5, 8)
        shift = rng.choice([0.0, -1.0, 5.0]) * size
        values = (size * rng.normal(size=rng.integers(1, 20)) + shift).tolist()
        axis = axis_of("x", values)
        assert axis is not None
        places = [axis.place(value) for value in sorted(values)]
        assert places == sorted(places)
        assert all(0 <= place <= 1 for place in places)
        assert axis.place(max(values)) > axis.place(min(values)) or len(values) == 1
        assert 2 <= len(axis.ticks) <= 9
        assert all(0 <= at <= 1 for at, _ in axis.ticks)
        assert len({text for _, text in axis.ticks}) == len(axis.ticks)


@pytest.mark.parametrize("ratio", [1.5, 7.0, 90.0, 5e4])
def test_equal_ratios_are_equally_far_on_a_logarithmic_axis(ratio: float) -> None:
    low, middle, high = 3.0, 3.0 * math.sqrt(ratio), 3.0 * ratio
    axis = axis_of("x", (low, high), "log")
    assert axis is not None
    first, second = axis.place(middle) - axis.place(low), axis.place(high) - axis.place(middle)
    assert first == pytest.approx(second, abs=1e-9)
    assert len(axis.ticks) >= 2


def test_ticks_are_where_their_text_says() -> None:
    for values, scale in (((0.0, 714.0), "linear"), ((3.0, 6520.0), "log"), ((2.0, 9.0), "log")):
        axis = axis_of("x", values, scale)  # type: ignore[arg-type]
        assert axis is not None
        for at, text in axis.ticks:
            assert axis.place(float(text.replace(",", ""))) == pytest.approx(at, abs=1e-3)


def test_an_axis_is_logarithmic_where_values_are_far_apart_and_positive() -> None:
    def scale_of(*values: float) -> str:
        axis = axis_of("FVD", values)
        assert axis is not None
        return axis.scale

    assert scale_of(116, 714) == "linear"
    assert scale_of(116, 6520) == "log"
    assert scale_of(-1, 6520) == "linear"
    assert scale_of(0, 0) == "linear"


def test_nothing_finite_has_no_axis() -> None:
    assert axis_of("x", (math.nan, math.inf)) is None
    assert axis_of("x", ()) is None
    assert axis_of("x", (0.0, -1.0), "log") is None


def test_generator_and_yardsticks_share_the_ladders_axis() -> None:
    ladder = ladder_of("FVD", {"this": (400.0, (350.0, 480.0))}, {"floor": 100.0, "blank": 800.0})
    assert ladder is not None
    assert [rung.name for rung in ladder.rungs] == ["floor", "this", "blank"]
    floor, this, blank = ladder.rungs
    assert this.at - floor.at == pytest.approx((blank.at - floor.at) * 300 / 700, abs=0.02)
    assert this.reach is not None
    start, width = this.reach
    assert start < this.at < start + width
    assert width == pytest.approx((blank.at - floor.at) * 130 / 700, abs=0.02)
    assert (floor.is_subject, this.is_subject) == (False, True)


def test_an_interval_stays_on_the_axis_and_figures_that_are_none_stay_off() -> None:
    ladder = ladder_of(
        "FVD", {"wide": (5.0, (-40.0, 50.0)), "broken": (math.nan, None)}, {"blank": 8000.0}
    )
    assert ladder is not None
    assert [rung.name for rung in ladder.rungs] == ["wide", "blank"]
    reach = ladder.rungs[0].reach
    assert reach is not None
    assert reach[0] >= 0
    assert sum(reach) <= 100


def test_the_fit_ends_at_the_extrapolated_value_and_passes_through_points_on_a_line() -> None:
    _, chart, _ = charts_of(report())
    points, fit = chart.lines
    (x0, y0), (x1, y1) = fit.points
    assert x0 == 0
    assert y0 == pytest.approx(HEIGHT * (1 - chart.y.place(352.0)), abs=0.01)
    for x, y in points.points:
        assert y == pytest.approx(y0 + (y1 - y0) * (x - x0) / (x1 - x0), abs=0.05)


def test_real_and_generated_differ_by_more_than_colour() -> None:
    for chart in (charts_of(report())[0], charts_of(report())[2]):
        assert {line.name: line.style for line in chart.lines} == {
            "real": "real",
            "generated": "fake",
        }
        for line in chart.lines:
            assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in line.points)


def test_quantiles_become_the_share_of_clips_that_are_as_near() -> None:
    chart = charts_of(report())[2]
    line = next(line for line in chart.lines if line.name == "real")
    assert len(line.points) == 101
    x, y = line.points[50]
    assert x == pytest.approx(WIDTH * chart.x.place(3.0), abs=0.01)
    assert y == pytest.approx(HEIGHT * (1 - chart.y.place(50.0)), abs=0.01)
