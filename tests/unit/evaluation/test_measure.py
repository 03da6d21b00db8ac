import numpy as np
import pytest

from videogen.artifacts import Protocol
from videogen.errors import EvaluationError
from videogen.evaluation.measure import bias_notes, measure
from videogen.evaluation.metrics.frechet import frechet_distance

FRAMES = 16


def protocol(**changes):
    known = {
        "name": "fvd60_16f",
        "extractor": "i3d",
        "extractor_sha256": "0",
        "num_real": 60,
        "num_fake": 60,
        "num_frames": FRAMES,
        "frame_stride": 1,
        "height": 32,
        "width": 32,
        "neighbours": 3,
    }
    return Protocol(**(known | changes))


def drawn(seed, num=60, width=12, shift=0.0):
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(num, width)) + shift).astype(np.float32)


def spectra(seed, num=60):
    return np.random.default_rng(seed).random((num, (FRAMES - 1) // 2 + 1)).astype(np.float32)


def features(num=60):
    return {
        "real": {"i3d": drawn(0, num), "motion": spectra(0, num), "mae": drawn(9, num, 5)},
        "fake": {"i3d": drawn(1, num, shift=0.4), "motion": spectra(1, num) * 2}
        | {"mae": drawn(8, num, 5)},
        "floor": {"i3d": drawn(2, num), "mae": drawn(7, num, 5)},
        "shuffled": {"i3d": drawn(3, num, shift=0.5)},
        "frozen": {"i3d": drawn(4, num, shift=1.0)},
        "blank": {"i3d": drawn(5, num, shift=2.0)},
        "training": {"i3d": np.concatenate([drawn(0, num), drawn(6, num)])},
    }


def test_every_figure_is_there_and_finite_with_intervals_about_their_points():
    measured = measure(features(), protocol(extractors={"mae": "1"}))
    assert set(measured.metrics) == {
        *("fvd", "fvd_n", "kvd", "inception_score", "inception_score_real", "precision", "recall"),
        *("density", "coverage", "diversity", "motion_energy", "motion_distance_db"),
        *("near_copies", "motion_share", "order_share", "fd_mae", "fd_mae_floor"),
    }
    assert np.isfinite(list(measured.metrics.values())).all()
    assert set(measured.intervals) == {
        *("fvd", "kvd", "inception_score", "inception_score_real", "fd_mae")
    }
    for name, (low, high) in measured.intervals.items():
        assert low < measured.metrics[name] < high
    assert list(measured.yardsticks) == ["floor", "shuffled", "frozen", "blank"]
    assert len(measured.closest) == 16
    assert len(measured.curves["nearest/fake"]) == len(measured.curves["nearest/real"]) == 101
    assert len(measured.curves["motion/frequency"]) == len(measured.curves["motion/fake"]) == 8


def test_the_same_features_give_the_same_bits():
    known = features()
    assert measure(known, protocol()) == measure(known, protocol())


def test_shares_say_where_frozen_and_shuffled_lie_between_the_floor_and_blank():
    measured = measure(features(), protocol())
    yardsticks = measured.yardsticks
    scale = yardsticks["blank"] - yardsticks["floor"]
    frozen, shuffled = (yardsticks[name] - yardsticks["floor"] for name in ("frozen", "shuffled"))
    assert measured.metrics["motion_share"] == pytest.approx(frozen / scale)
    assert measured.metrics["order_share"] == pytest.approx(shuffled / scale)


def test_without_a_disjoint_set_there_is_no_floor_and_nothing_that_needs_one():
    measured = measure(features(), protocol(extractors={"mae": "1"}), disjoint=False)
    assert "floor" not in measured.yardsticks
    assert not {"motion_share", "order_share", "fd_mae_floor"} & set(measured.metrics)
    assert any("motion_share" in note for note in measured.notes)


def test_the_divisor_of_the_protocol_is_that_of_fvd_and_the_other_has_a_name_of_its_own():
    known = features()
    real, fake = known["real"]["i3d"], known["fake"]["i3d"]
    by_n = measure(known, protocol(covariance="n")).metrics
    by_less = measure(known, protocol()).metrics
    assert by_n["fvd"] == by_less["fvd_n"] == pytest.approx(frechet_distance(real, fake, "n"))
    assert by_less["fvd"] == by_n["fvd_n_minus_1"] == pytest.approx(frechet_distance(real, fake))


def test_closest_pairs_are_the_nearest_training_clips_nearest_first():
    known = features()
    known["fake"]["i3d"][7] = known["training"]["i3d"][80]
    closest = measure(known, protocol()).closest
    assert (closest[0].fake, closest[0].training, closest[0].distance) == (7, 80, 0)
    distances = [pair.distance for pair in closest]
    assert distances == sorted(distances)


def test_what_cannot_be_had_is_left_out_and_said():
    known = features(num=3)
    del known["training"], known["fake"]["motion"]
    known["real"]["i3d"][:] = 1
    measured = measure(known, protocol())
    notes = "\n".join(measured.notes)
    for name in ("precision", "near_copies", "motion", "diversity"):
        assert f"{name}" in notes
        assert name not in measured.metrics
    assert "fvd_infinity" not in measured.metrics


def test_fvd_is_extrapolated_from_1024_clips_on():
    def both(num):
        return {"real": {"i3d": drawn(0, num)}, "fake": {"i3d": drawn(1, num, shift=0.5)}}

    assert "fvd_infinity" not in measure(both(1023), protocol()).metrics
    measured = measure(both(1024), protocol(covariance="n"))
    assert measured.curves["fvd/value"][0] == pytest.approx(measured.metrics["fvd"])
    assert measured.metrics["fvd_infinity"] == pytest.approx(12 * 0.25, rel=0.15)
    assert measured.curves["fvd/inverse_n"][0] == 1 / 1024


def test_bias_is_spelled_out_where_clips_are_few_and_more_so_below_the_number_of_features():
    assert bias_notes(2048, 400) == ()
    assert "biased upwards at N = 401" in bias_notes(401, 400)[0]
    assert "400 clips a side are no more than its 400 features" in bias_notes(400, 400)[0]
    assert set(bias_notes(60, 12)) <= set(measure(features(), protocol()).notes)


def test_missing_features_are_named():
    with pytest.raises(EvaluationError, match="'i3d' of the fakes"):
        measure({"real": {"i3d": drawn(0)}}, protocol())
