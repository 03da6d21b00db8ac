"""What the gate decides, for every kind of figures."""

import math
from dataclasses import replace

import pytest

from videogen.config.sections import RegisterConfig
from videogen.registry.gate import Judged, decide

GOOD = Judged(fvd=400.0, blank=700.0, dataset="shapes", protocol={"name": "fvd64_16f", "seed": 0})
BETTER = replace(GOOD, fvd=399.0)
WORSE = replace(GOOD, fvd=401.0)
THRESHOLDS = RegisterConfig()


def test_a_first_model_below_the_blank_yardstick_is_champion() -> None:
    decision = decide(GOOD, None, THRESHOLDS)
    assert decision.role == "champion"
    assert decision.reasons == (
        "FVD 400.0 is below 1 of the blank clips' 700.0",
        "there is no champion yet",
    )


@pytest.mark.parametrize(
    ("candidate", "thresholds", "reason"),
    [
        (replace(GOOD, fvd=700.0), THRESHOLDS, "FVD 700.0 is not below 1 of the blank clips'"),
        (GOOD, RegisterConfig(max_fvd_to_blank=0.5), "is not below 0.5 of the blank clips'"),
        (GOOD, RegisterConfig(max_fvd=400.0), "FVD 400.0 is not below max_fvd 400"),
        (replace(GOOD, fvd=math.nan), THRESHOLDS, "no finite FVD in the report"),
        (replace(GOOD, fvd=math.inf), THRESHOLDS, "no finite FVD in the report"),
        (replace(GOOD, blank=math.nan), THRESHOLDS, "no finite FVD of blank clips"),
    ],
)
def test_what_misses_an_absolute_threshold_is_never_champion(
    candidate: Judged, thresholds: RegisterConfig, reason: str
) -> None:
    for champion in (None, replace(GOOD, fvd=5_000.0)):
        decision = decide(candidate, champion, thresholds)
        assert decision.role == "challenger"
        assert reason in decision.reasons[0]


def test_both_thresholds_met_are_both_named() -> None:
    assert len(decide(GOOD, None, RegisterConfig(max_fvd=500.0)).reasons) == 3


@pytest.mark.parametrize(
    ("candidate", "role"), [(BETTER, "champion"), (GOOD, "challenger"), (WORSE, "challenger")]
)
def test_a_later_model_is_champion_only_where_its_fvd_is_lower(
    candidate: Judged, role: str
) -> None:
    assert decide(candidate, GOOD, THRESHOLDS).role == role


@pytest.mark.parametrize(
    ("champion", "reason"),
    [
        (replace(GOOD, dataset="faces"), "dataset 'faces'"),
        (replace(GOOD, protocol={"name": "fvd64_16f", "seed": 1}), "another protocol (seed)"),
        (replace(GOOD, protocol={}), "another protocol (name, seed)"),
        (replace(GOOD, fvd=math.nan), "no recorded FVD"),
    ],
)
def test_a_better_figure_of_another_kind_does_not_count(champion: Judged, reason: str) -> None:
    decision = decide(BETTER, champion, THRESHOLDS)
    assert decision.role == "challenger"
    assert reason in decision.reasons[-1]


def test_what_fvd_does_not_depend_on_keeps_no_candidate_from_the_champions_place() -> None:
    """Nor does what an older videogen did not say: its features were all fp32."""
    beside = {"neighbours": 7, "num_training": 64, "extractors": {"mae": "a" * 64}}
    told = replace(BETTER, protocol={**GOOD.protocol, "precision": "fp32", **beside})
    assert decide(told, GOOD, THRESHOLDS).role == "champion"
    rough = replace(told, protocol={**told.protocol, "precision": "bf16"})
    assert "another protocol (precision)" in decide(rough, GOOD, THRESHOLDS).reasons[-1]
