"""Which clips stand for what, by the split that is asked for."""

import pytest
from judged_toy import toy_config, toy_dataset

from videogen.evaluation.setting import choose_setting
from videogen.storage.local import LocalStore


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return LocalStore(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def dataset(store):
    """Five clips to train on and three held out."""
    return toy_dataset(store, 8, holdout=3)


def splits(clips):
    return {clip.row.split for clip in clips}


@pytest.mark.parametrize("split", ["train", "holdout", "all"])
def test_near_copies_are_looked_for_among_training_clips_whatever_split_is_judged(
    store, dataset, split
):
    config = toy_config(2, split=split)
    setting = choose_setting(store, dataset.dataset, dataset.snapshot, config)
    assert splits(setting.training) == {"train"}
    assert len(setting.training) == setting.protocol.num_training == 5
    if split != "all":
        assert splits((*setting.reals.a, *setting.reals.b)) == {split}
    if split == "train":
        assert setting.training[:2] == setting.reals.a


def test_a_protocol_says_all_that_was_asked_for(store, dataset):
    extractor = {
        "name": "mae",
        "kind": "videomae",
        "path": "/models/mae.safetensors",
        "sha256": "a" * 64,
    }
    changes = {
        "split": "holdout", "seed": 3, "covariance": "n", "precision": "bf16", "neighbours": 2,
        "training_clips": 4, "extractors": [extractor], "frame_stride": 1,
    }  # fmt: skip
    config = toy_config(64, **changes)
    protocol = choose_setting(store, dataset.dataset, dataset.snapshot, config).protocol
    assert protocol.name == "fvd3_9f"  # there are no more
    assert (protocol.num_real, protocol.num_fake, protocol.num_training) == (3, 3, 4)
    assert protocol.extractors == {"mae": "a" * 64}
    for field in ("split", "seed", "covariance", "precision", "neighbours", "num_frames"):
        assert getattr(protocol, field) == getattr(config, field)
    assert (protocol.height, protocol.width, protocol.frame_codec) == (32, 32, "raw")
    assert protocol.snapshot == dataset.snapshot
