import numpy as np
import pytest

from videogen.errors import EvaluationError
from videogen.evaluation.metrics.neighbours import neighbourhood
from videogen.evaluation.metrics.vectors import nearest


def by_brute_force(real, fake, k):
    """As published, by loops over the very differences."""

    def distance(x, y):
        return np.linalg.norm(x - y)

    def reach(xs):
        return [
            sorted(distance(x, y) for j, y in enumerate(xs) if j != i)[k - 1]
            for i, x in enumerate(xs)
        ]

    of_reals, of_fakes = reach(real), reach(fake)
    in_real = np.array(
        [[distance(x, y) <= r for y in fake] for x, r in zip(real, of_reals, strict=True)]
    )
    in_fake = np.array(
        [[distance(x, y) <= r for y, r in zip(fake, of_fakes, strict=True)] for x in real]
    )
    precision, recall = in_real.any(axis=0).mean(), in_fake.any(axis=1).mean()
    return precision, recall, in_real.sum() / (k * len(fake)), in_real.any(axis=1).mean()


def figures(real, fake, k):
    found = neighbourhood(real, fake, k)
    return found.precision, found.recall, found.density, found.coverage


@pytest.mark.parametrize("k", [1, 3, 5])
@pytest.mark.parametrize(("num", "width"), [(40, 2), (20, 50)])
def test_the_four_figures_are_those_of_the_published_definitions(k, num, width):
    rng = np.random.default_rng(k)
    real = rng.normal(size=(num, width)) + 1000  # far from the origin: little may be cancelled
    fake = 0.7 * rng.normal(size=(num - 7, width)) + 1000.5
    assert figures(real, fake, k) == pytest.approx(by_brute_force(real, fake, k), rel=1e-12)


def test_figures_of_more_clips_than_fit_a_block_are_those_of_the_definitions():
    rng = np.random.default_rng(0)
    real, fake = rng.normal(size=(270, 3)), rng.normal(size=(60, 3))
    assert figures(real, fake, 2) == pytest.approx(by_brute_force(real, fake, 2), rel=1e-12)


def test_duplicates_are_as_by_brute_force():
    rng = np.random.default_rng(0)
    real = np.repeat(rng.normal(size=(10, 4)), 4, axis=0).astype(np.float32)
    fake = np.concatenate([real[:9], rng.normal(size=(15, 4))]).astype(np.float32)
    assert figures(real, fake, 3) == pytest.approx(by_brute_force(real, fake, 3), rel=1e-12)


def test_a_set_against_itself_is_wholly_precise_recalled_and_covered():
    x = np.random.default_rng(1).normal(size=(50, 6))
    precision, recall, density, coverage = figures(x, x, 5)
    assert (precision, recall, coverage) == (1, 1, 1)
    assert density == pytest.approx(6 / 5)  # each ball holds its centre and k others


def test_sets_far_apart_share_nothing():
    x = np.random.default_rng(1).normal(size=(50, 6))
    assert figures(x, x + 100, 5) == (0, 0, 0, 0)


def test_equal_constant_sets_are_alike_and_different_ones_are_not():
    ones, zeros = np.ones((8, 3)), np.zeros((8, 3))
    assert figures(ones, ones, 2) == (1, 1, 4, 1)
    assert figures(ones, zeros, 2) == (0, 0, 0, 0)


def test_collapse_keeps_precision_and_loses_recall_and_coverage():
    rng = np.random.default_rng(2)
    real = rng.normal(size=(200, 4))
    precision, recall, _, coverage = figures(real, 0.05 * rng.normal(size=(200, 4)), 5)
    assert precision == 1
    assert recall < 0.05
    assert coverage < 0.5


def test_no_more_clips_than_neighbours_are_refused():
    with pytest.raises(EvaluationError, match="5 neighbours of each clip need more than 5"):
        neighbourhood(np.zeros((5, 3)), np.zeros((9, 3)), 5)


def test_nearest_rows_are_found_across_blocks_and_one_left_out_is_not():
    rng = np.random.default_rng(3)
    a, b = rng.normal(size=(600, 3)), rng.normal(size=(50, 3))
    every = np.linalg.norm(a[:, None] - b[None], axis=2)
    index, distance = nearest(a, b)
    np.testing.assert_array_equal(index, every.argmin(axis=1))
    np.testing.assert_allclose(distance, every.min(axis=1), rtol=1e-12)
    index, _ = nearest(b, b, np.arange(50))
    assert (index != np.arange(50)).all()
