import numpy as np
import pytest

from videogen.artifacts import Protocol
from videogen.evaluation.features import ReferenceKey, load_features, save_features
from videogen.storage.local import LocalStore

FEATURES = {
    "real": np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32),
    "blank": np.zeros((5, 4), np.float32),
}
NUM = {"real": 5, "blank": 5}


def key(**changes):
    protocol = {
        "name": "fvd5_16f", "extractor": "toy", "extractor_sha256": "e" * 64, "num_real": 5,
        "num_fake": 5, "num_frames": 16, "frame_stride": 1, "height": 8, "width": 8,
        "split": "train", "seed": 0, "snapshot": "s" * 64,
    }  # fmt: skip
    return ReferenceKey("data", Protocol(**(protocol | changes)))


@pytest.fixture
def store(tmp_path):
    return LocalStore(tmp_path)


def test_features_come_back_as_they_were_kept(store):
    assert load_features(store, key(), NUM) is None
    save_features(store, key(), FEATURES)
    found = load_features(store, key(), NUM)
    assert found.keys() == FEATURES.keys()
    for role, features in FEATURES.items():
        np.testing.assert_array_equal(found[role], features)


@pytest.mark.parametrize(
    "change",
    [
        {"snapshot": "t" * 64},
        {"extractor_sha256": "f" * 64},
        {"seed": 1},
        {"num_frames": 17},
        {"split": "holdout"},
        {"frame_codec": "jpeg"},
    ],
)
def test_features_of_another_protocol_are_not_taken(store, change):
    save_features(store, key(), FEATURES)
    assert load_features(store, key(**change), NUM) is None


def test_the_number_of_fakes_does_not_matter_to_the_reals(store):
    assert key(num_fake=9, name="fvd9_16f").object_key == key().object_key


def test_damaged_or_partial_features_are_not_taken(store):
    save_features(store, key(), FEATURES)
    assert load_features(store, key(), {"real": 6, "blank": 5}) is None
    assert load_features(store, key(), NUM | {"floor": 5}) is None
    data = bytearray(store.get(key().object_key).data)
    data[-5] ^= 1
    store.put(key().object_key, bytes(data))
    assert load_features(store, key(), NUM) is None
    store.put(key().object_key, b"no safetensors")
    assert load_features(store, key(), NUM) is None
