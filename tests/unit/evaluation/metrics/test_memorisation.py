import numpy as np
import pytest

from videogen.evaluation.metrics.memorisation import memorisation


def drawn(num, seed, width=6):
    return np.random.default_rng(seed).normal(size=(num, width)).astype(np.float32)


def test_copies_of_training_clips_are_all_near_copies_and_strangers_none():
    training = drawn(300, 0)
    real = training[:100]
    assert memorisation(training[50:150], real, training).rate == 1
    assert memorisation(drawn(100, 1) + 50, real, training).rate == 0


@pytest.mark.parametrize("of_train", [True, False], ids=["reals of the train split", "held out"])
def test_clips_as_good_as_unseen_reals_measure_one_in_twenty(of_train):
    rates = []
    for seed in range(12):
        training = drawn(600, 3 * seed)
        real = training[:400] if of_train else drawn(400, 3 * seed + 1)
        rates.append(memorisation(drawn(400, 3 * seed + 2), real, training).rate)
    assert np.mean(rates) == pytest.approx(0.05, abs=0.012)


def test_a_real_clip_is_not_its_own_neighbour_but_its_duplicate_is():
    training = drawn(20, 0)
    alone = memorisation(training[:5], training[:5], training)
    assert (alone.real > 0).all()
    assert (alone.fake == 0).all()
    twice = np.concatenate([training, training[:1]])
    assert memorisation(training[:5], training[:5], twice).real[0] == 0


def test_the_nearest_clip_and_its_distance_are_those_of_every_fake():
    training, fake = drawn(50, 0), drawn(10, 1)
    found = memorisation(fake, drawn(30, 2), training)
    every = np.linalg.norm(fake[:, None].astype(float) - training[None], axis=2)
    np.testing.assert_array_equal(found.index, every.argmin(axis=1))
    np.testing.assert_allclose(found.fake, every.min(axis=1), rtol=1e-12)


def test_quantiles_go_from_the_least_distance_to_the_largest():
    found = memorisation(drawn(10, 1), drawn(30, 2), drawn(50, 0))
    quantiles = found.quantiles()
    assert len(quantiles["fake"]) == len(quantiles["real"]) == 101
    assert quantiles["fake"][0] == found.fake.min()
    assert quantiles["real"][-1] == found.real.max()
