"""Which of two models is the better one, and which pairs are looked at."""

import numpy as np
import pytest
from judged_toy import toy_config, toy_dataset, toy_generator

from videogen.evaluation.comparison import _differences, _of_many
from videogen.evaluation.metrics.frechet import frechet_distance
from videogen.evaluation.setting import choose_setting
from videogen.storage.local import LocalStore

NUM, WIDTH = 60, 8


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """Makes generators, features and a setting; a generator's clips lie `shift` from the reals."""
    store = LocalStore(tmp_path_factory.mktemp("store"))
    dataset, generator = toy_dataset(store, 2), toy_generator(store)
    setting = choose_setting(store, dataset.dataset, dataset.snapshot, toy_config(2))
    rng = np.random.default_rng(0)
    real, seeds = rng.normal(size=(2, NUM, WIDTH))

    def make(**shifts: float):
        generators = [generator.model_copy(update={"model": name}) for name in shifts]
        features = [
            {"real": {"i3d": real}, "fake": {"i3d": seeds + shift}} for shift in shifts.values()
        ]
        return list(_differences(generators, features, setting)), features

    return make


@pytest.mark.parametrize("shifts", [{"near": 0.2, "far": 1.5}, {"far": 1.5, "near": 0.2}])
def test_the_better_model_is_the_one_with_the_lower_distance_wherever_it_is_named(compared, shifts):
    (one,), (first, second) = compared(**shifts)
    assert (one.model, one.other) == tuple(shifts)
    assert one.better == "near"
    distances = [frechet_distance(x["real"]["i3d"], x["fake"]["i3d"]) for x in (first, second)]
    assert one.difference == pytest.approx(distances[0] - distances[1])
    assert one.interval[0] < one.difference < one.interval[1]
    assert one.p_value < 0.05


def test_up_to_three_models_are_set_against_each_other_and_more_against_the_first(compared):
    three, _ = compared(a=0.1, b=0.2, c=0.3)
    assert [(one.model, one.other) for one in three] == [("a", "b"), ("a", "c"), ("b", "c")]
    four, _ = compared(a=0.1, b=0.2, c=0.3, d=0.4)
    assert [(one.model, one.other) for one in four] == [("a", "b"), ("a", "c"), ("a", "d")]


def test_of_many_pairs_it_is_said_how_many_and_of_one_nothing(compared):
    three, _ = compared(a=0.1, b=0.1, c=0.1)
    assert _of_many(three)[0].startswith("3 pairs were tested")
    assert _of_many(three[:1]) == ()
