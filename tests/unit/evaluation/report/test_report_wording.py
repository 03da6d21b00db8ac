"""What is said of figures: where the generator stands, and when to be alarmed."""

import numpy as np
import pytest
from some_report import PROTOCOL, report

from videogen.evaluation.measure import measure
from videogen.evaluation.report.page import groups_of
from videogen.evaluation.report.wording import alarms, fvd_of, reading, spelled, standing

YARDSTICKS = {"floor": 116.0, "shuffled": 205.0, "frozen": 295.0, "blank": 714.0}
FINE = {"fvd": 431.0, "diversity": 0.8, "near_copies": 0.06, "motion_energy": 0.7}


@pytest.mark.parametrize(
    ("value", "interval", "said"),
    [
        (431.0, (401.0, 463.0), "lies between frozen clips (295) and blank clips (714)"),
        (431.0, None, "lies between frozen clips (295) and blank clips (714)"),
        (733.0, (700.0, 760.0), "cannot be told from blank clips (714)"),
        (120.0, (100.0, 140.0), "cannot be told from the floor (116)"),
        (250.0, (200.0, 300.0), "cannot be told from shuffled clips (205) or frozen clips (295)"),
        (6520.0, (6000.0, 7000.0), "is farther from the reals than blank clips (714)"),
        (60.0, (50.0, 70.0), "is nearer to the reals than the floor (116)"),
    ],
)
def test_where_the_generator_stands(
    value: float, interval: tuple[float, float] | None, said: str
) -> None:
    intervals = {"fvd": interval} if interval else {}
    assert standing(report(metrics={"fvd": value}, intervals=intervals)) == said


def test_without_yardsticks_or_fvd_nothing_is_claimed() -> None:
    assert standing(report(yardsticks={})) == "has nothing to be held against"
    assert standing(report(metrics={})) == "has nothing to be held against"
    assert fvd_of(report(metrics={})) == "missing"


def test_a_fair_generator_alarms_nobody() -> None:
    assert alarms(FINE, YARDSTICKS, 2048) == ()
    assert alarms({}, {}, 2048) == ()


@pytest.mark.parametrize(
    ("name", "value", "word"),
    [
        ("fvd", 720.0, "no better than blank clips"),
        ("diversity", 0.2, "collapse"),
        ("near_copies", 0.3, "near-copies: 30%"),
        ("motion_energy", 0.1, "hardly any motion"),
    ],
)
def test_each_fault_has_its_alarm(name: str, value: float, word: str) -> None:
    (alarm,) = alarms({**FINE, name: value}, YARDSTICKS, 2048)
    assert word in alarm


def test_of_few_clips_it_takes_more_near_copies_to_be_more_than_chance() -> None:
    rate = 3 / 16
    assert alarms({"near_copies": rate}, {}, 2048)
    assert not alarms({"near_copies": rate}, {}, 16)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (431.24, "431"),
        (6520.4, "6,520"),
        (12.345, "12.3"),
        (1.2345, "1.23"),
        (0.0555, "0.056"),
        (0.0, "0.000"),
        (0.00001234, "1.2e-05"),
        (-0.00001234, "-1.2e-05"),
        (float("nan"), "nan"),
    ],
)
def test_figures_keep_the_digits_that_mean_something(value: float, text: str) -> None:
    assert spelled(value) == text


def test_an_optional_extractors_metric_says_whose_it_is() -> None:
    assert "videomae" in reading("fd_videomae")
    assert reading("something new") == ""


@pytest.mark.parametrize("covariance", ["n-1", "n"])
def test_whatever_is_measured_is_explained_and_has_its_place(covariance: str) -> None:
    rng = np.random.default_rng(0)

    def columns(shift: float) -> dict[str, np.ndarray]:
        wide = rng.normal(shift, 1, (32, 20)).astype(np.float32)
        spectra = rng.uniform(1, 2, (32, 8)).astype(np.float32)
        return {"i3d": wide, "videomae": wide[:, :8], "motion": spectra}

    roles = ("real", "floor", "training", "fake", "shuffled", "frozen", "blank")
    protocol = PROTOCOL.model_copy(update={"covariance": covariance})
    found = measure({role: columns(0.2 * i) for i, role in enumerate(roles)}, protocol)  # type: ignore[misc]
    assert {"fvd", "near_copies", "motion_energy", "precision"} <= set(found.metrics)
    assert [name for name in found.metrics if not reading(name)] == []
    assert "other" not in groups_of(found.metrics)
