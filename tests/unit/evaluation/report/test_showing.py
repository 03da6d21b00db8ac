"""What people are shown is what was judged: the very clips, pairs and pace."""

import numpy as np
import pytest
from judged_toy import toy_config, toy_dataset, toy_generator, toy_means

from videogen.artifacts import ClosestPair, EvaluationReport
from videogen.evaluation.clips.reals import read_reals
from videogen.evaluation.features.workers import OneProcess
from videogen.evaluation.report.showing import fakes, preview_of
from videogen.evaluation.setting import choose_setting
from videogen.storage.local import LocalStore


@pytest.fixture
def shown(tmp_path):
    """A preview at stride 2 with two closest pairs, and where its clips come from."""
    store = LocalStore(tmp_path)
    dataset, generator = toy_dataset(store, 6, num_frames=20), toy_generator(store)
    config = toy_config(3, frame_stride=2)
    setting = choose_setting(store, dataset.dataset, dataset.snapshot, config)
    means = toy_means(store, OneProcess())
    pairs = tuple(
        ClosestPair(fake=fake, clip_id=clip.row.clip_id, start=clip.start, distance=1.0)
        for fake, clip in ((2, setting.training[4]), (0, setting.training[1]))
    )
    report = EvaluationReport(
        metrics={"fvd": 5.0}, yardsticks={}, closest=pairs, protocol=setting.protocol
    )
    return preview_of(report, generator, setting, means), generator, setting, means


def test_pairs_are_the_generated_clips_and_the_training_clips_that_the_report_names(shown):
    preview, generator, setting, means = shown
    expected = fakes(generator, setting, means, [2, 0])
    np.testing.assert_array_equal(preview.closest.fakes, expected)
    nearest = read_reals(means.store, "toy", [setting.training[4], setting.training[1]])
    np.testing.assert_array_equal(preview.closest.nearest, nearest)
    assert (preview.closest.fakes[0] != preview.closest.fakes[1]).any()
    assert (nearest[0] != nearest[1]).any()


def test_playing_clips_are_the_first_that_were_judged_at_the_pace_of_their_frames(shown):
    preview, generator, setting, means = shown
    expected = fakes(generator, setting, means, range(3))
    np.testing.assert_array_equal(preview.fakes, expected)
    np.testing.assert_array_equal(preview.reals, read_reals(means.store, "toy", setting.reals.a))
    assert preview.fps == generator.fps / 2
