"""Features of the real clips and their yardsticks, computed once and kept in the store.

One object below `features/` holds the features of every role for one (extractor, snapshot,
protocol); its name says which, and a digest inside says whether it is whole.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.numpy import load, save

from videogen.artifacts import Protocol
from videogen.config.section import digest_of
from videogen.errors import ObjectMissingError
from videogen.evaluation.extractors.weights import digest_arrays
from videogen.storage.base import ObjectStore

FORMAT_VERSION: Final = 1
_DIGEST: Final = "digest"

Features = dict[str, Float[np.ndarray, "n d"]]
"""By role: `real`, and the yardsticks."""


@dataclass(frozen=True)
class ReferenceKey:
    """What reference features depend on."""

    dataset: str
    protocol: Protocol

    @property
    def object_key(self) -> str:
        """Where the store keeps them."""
        document = {
            "format_version": FORMAT_VERSION,
            "dataset": self.dataset,
            "protocol": self.protocol.model_dump(
                mode="json", exclude={"name", "covariance", "num_fake"}
            ),
        }
        extractor = self.protocol.extractor_sha256[:16]
        return (
            f"features/{extractor}/{self.protocol.snapshot}/{digest_of(document)[:16]}.safetensors"
        )


def load_features(
    store: ObjectStore, key: ReferenceKey, num_clips: Mapping[str, int]
) -> Features | None:
    """The features of every role, or None where they are not there, or not whole.

    `num_clips` is how many rows each role must have.
    """
    try:
        features = load(store.get(key.object_key).data)
    except (ObjectMissingError, SafetensorError):
        return None
    digest = features.pop(_DIGEST, np.empty(0, np.uint8))
    if digest.tobytes() != _digest(features):
        return None
    return features if {role: len(x) for role, x in features.items()} == dict(num_clips) else None


def save_features(store: ObjectStore, key: ReferenceKey, features: Features) -> None:
    """Keep the features of every role."""
    digest = np.frombuffer(_digest(features), np.uint8)
    store.put(key.object_key, save({**features, _DIGEST: digest}))


def _digest(features: Features) -> bytes:
    return hashlib.sha256(digest_arrays(features).encode()).digest()
