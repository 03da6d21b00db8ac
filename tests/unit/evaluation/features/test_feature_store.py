import numpy as np
import pytest

from videogen.artifacts import Protocol
from videogen.evaluation.features.store import Entry, load_column, save_column
from videogen.storage.local import LocalStore

VALUES = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)


def entry(role="real", column="i3d", sha256="e" * 64, dataset="data", **changes):
    protocol = {
        "name": "fvd5_16f", "extractor": "toy", "extractor_sha256": "e" * 64, "num_real": 5,
        "num_fake": 5, "num_frames": 16, "frame_stride": 1, "height": 8, "width": 8,
        "split": "train", "seed": 0, "snapshot": "s" * 64, "num_training": 50,
    }  # fmt: skip
    return Entry(dataset, Protocol(**(protocol | changes)), role, column, sha256)


@pytest.fixture
def store(tmp_path):
    return LocalStore(tmp_path)


def test_a_column_comes_back_as_it_was_kept(store):
    assert load_column(store, entry(), 5) is None
    save_column(store, entry(), VALUES)
    np.testing.assert_array_equal(load_column(store, entry(), 5), VALUES)


@pytest.mark.parametrize(
    "change",
    [
        {"snapshot": "t" * 64},
        {"sha256": "f" * 64},
        {"dataset": "other"},
        {"role": "floor"},
        {"column": "motion"},
        {"seed": 1},
        {"num_frames": 17},
        {"frame_stride": 2},
        {"num_real": 6},
        {"split": "holdout"},
        {"frame_codec": "jpeg"},
        {"precision": "bf16"},
    ],
)
def test_features_of_another_protocol_or_role_are_not_taken(store, change):
    save_column(store, entry(), VALUES)
    assert load_column(store, entry(**change), 5) is None


@pytest.mark.parametrize(
    "change",
    [
        {"num_fake": 9, "name": "fvd9_16f"},
        {"covariance": "n"},
        {"neighbours": 3},
        {"extractors": {"videomae": "a" * 64}},
        {"num_training": 7},
    ],
)
def test_what_is_done_with_features_does_not_matter_to_them(change):
    assert entry(**change).object_key == entry().object_key


def test_how_many_training_clips_there_are_matters_to_their_features_only():
    assert entry("training", num_training=7).object_key != entry("training").object_key


def test_features_go_with_their_snapshot():
    for key in (entry().object_key, entry().lease_key):
        assert key.startswith(f"features/{'e' * 16}/{'s' * 64}/")


def test_damaged_or_partial_features_are_not_taken(store):
    save_column(store, entry(), VALUES)
    assert load_column(store, entry(), 6) is None
    data = bytearray(store.get(entry().object_key).data)
    data[-5] ^= 1
    store.put(entry().object_key, bytes(data))
    assert load_column(store, entry(), 5) is None
    store.put(entry().object_key, b"no safetensors")
    assert load_column(store, entry(), 5) is None
