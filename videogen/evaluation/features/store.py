"""Features by role and column; those of real clips are computed once and kept in the store.

One object below `features/EXTRACTOR/SNAPSHOT/` holds one column of one role; its key says of which
windows, and a digest inside says whether it is whole. Snapshots take theirs with them when they go.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.numpy import load, save

from videogen.artifacts import Protocol
from videogen.config.section import digest_of
from videogen.errors import ObjectMissingError
from videogen.evaluation.clips.yardsticks import Yardstick
from videogen.evaluation.extractors.weights import digest_arrays
from videogen.storage.base import ObjectStore

Role = Literal["fake", "real", "training"] | Yardstick
"""`fake` is the generator's; `real` is the set A that all are compared with; yardsticks are made
of the set B; `training` are the clips among which near-copies are looked for."""

Column = Float[np.ndarray, "n d"]
Columns = Mapping[str, Column]
"""By name: `i3d` (n x 400 logits), `motion` (n x f), and extractors of the config; float32. Row i
of each is of the same clip."""

FORMAT_VERSION: Final = 2
"""Count on where the same clips get other values of I3D: by its code, or that of preprocessing and
of yardsticks. Else features of the code before are taken for today's."""
_VALUES: Final = "values"
_DIGEST: Final = "digest"
_NOT_OF_WINDOWS: Final = frozenset(
    {"name", "covariance", "num_fake", "neighbours", "extractor", "extractor_sha256", "extractors"}
)
"""What a protocol says beside how real clips are chosen and read."""


@dataclass(frozen=True)
class Entry:
    """One column of one role of real clips, and all that its values depend on."""

    dataset: str
    protocol: Protocol
    role: Role
    column: str
    sha256: str
    """Of what computes the column."""

    @property
    def object_key(self) -> str:
        """Where the store keeps it."""
        return f"{self._stem}.safetensors"

    @property
    def lease_key(self) -> str:
        """Whose it is to compute."""
        return f"{self._stem}.lease"

    @property
    def _stem(self) -> str:
        left_out = _NOT_OF_WINDOWS | ({"num_training"} if self.role != "training" else set())
        document = {
            "format_version": FORMAT_VERSION,
            "dataset": self.dataset,
            "column": self.column,
            "protocol": self.protocol.model_dump(mode="json", exclude=set(left_out)),
        }
        digest = digest_of(document)[:16]
        return f"features/{self.sha256[:16]}/{self.protocol.snapshot}/{digest}/{self.role}"


def load_column(store: ObjectStore, entry: Entry, num: int) -> Column | None:
    """The `num` rows of an entry, or None where it is not there, or not whole."""
    try:
        arrays = load(store.get(entry.object_key).data)
    except (ObjectMissingError, SafetensorError):
        return None
    digest = arrays.pop(_DIGEST, np.empty(0, np.uint8))
    if digest.tobytes() != _digest(arrays) or _VALUES not in arrays:
        return None
    values: Column = arrays[_VALUES]
    return values if len(values) == num else None


def save_column(store: ObjectStore, entry: Entry, values: Column) -> None:
    """Keep an entry, whole or not at all."""
    arrays = {_VALUES: np.ascontiguousarray(values)}
    digest = np.frombuffer(_digest(arrays), np.uint8)
    store.put(entry.object_key, save({**arrays, _DIGEST: digest}))


def _digest(arrays: dict[str, Column]) -> bytes:
    return hashlib.sha256(digest_arrays(arrays).encode()).digest()
