"""From generators to features: what `evaluate`, `compare` and the online evaluation share.

Features of real clips are taken by whoever comes first: each role is computed under leases, while
other evaluators go on with other roles, wait, or take over where the owner dies. No lease is ever
waited for while another is held, so nobody waits for ever.
"""

import hashlib
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from videogen.artifacts import GeneratorRef
from videogen.config.sections import StorageConfig
from videogen.config.settings import Settings
from videogen.errors import LeaseHeldError
from videogen.evaluation.clips.reals import RealClip
from videogen.evaluation.clips.samples import open_generator
from videogen.evaluation.extractors.opening import fetch_extractors
from videogen.evaluation.extractors.weights import I3D_KINETICS, weights_dir
from videogen.evaluation.features.extraction import Source, batches_of, extract
from videogen.evaluation.features.store import (
    Column,
    Columns,
    Entry,
    Role,
    load_column,
    save_column,
)
from videogen.evaluation.features.workers import Workers
from videogen.evaluation.setting import Setting, require_same_frames
from videogen.progress import Progress, ProgressEvent
from videogen.runs.lease import hold_work
from videogen.storage.base import ObjectStore

_POLL_S: Final = 0.5
_MOTION_SHA256: Final = hashlib.sha256(b"videogen.evaluation.metrics.motion, version 1").hexdigest()
"""Stands for the code that computes spectra of motion: count on where their values change."""


@dataclass(frozen=True)
class Means:
    """With what features are taken."""

    store: ObjectStore
    storage: StorageConfig
    """How tasks open the store, wherever they run."""
    workers: Workers
    progress: Progress
    settings: Settings
    """Where extractors' weights are kept."""
    is_idle: bool = False
    """Whether it gets only the time that nobody wants: such an evaluator takes no leases, since
    others would wait for it without end."""


def take_features(generator: GeneratorRef, setting: Setting, means: Means) -> dict[Role, Columns]:
    """Every role's features: the generator's, and those of the real clips and the yardsticks.

    Raises:
        VideogenError: the data, the generator or the weights cannot be used.
    """
    (features,) = take_all([generator], setting, means)
    return features


def take_all(
    generators: Sequence[GeneratorRef], setting: Setting, means: Means
) -> list[dict[Role, Columns]]:
    """As `take_features`, for each of several; they share what is not theirs."""
    for generator in generators:
        require_same_frames(setting, generator)
        open_generator(means.storage, generator)
    fetch_extractors(setting.config.extractors, means.settings, means.progress)
    taking = _Taking(setting, means)
    missing = taking.num_missing()
    taking.total = missing + len(generators) * setting.num_clips
    taking.tell(0)
    reference = taking.reference()
    if taking.done < missing:  # others took them meanwhile
        taking.tell(missing - taking.done)
    return [{**reference, "fake": taking.fakes(generator)} for generator in generators]


def columns_of(role: Role, setting: Setting) -> dict[str, str]:
    """Which columns a role has: name to sha256 of what computes it."""
    i3d = {"i3d": I3D_KINETICS.member_sha256}
    others = {one.name: one.sha256 for one in setting.config.extractors}
    match role:
        case "fake" | "real":
            return i3d | others | {"motion": _MOTION_SHA256}
        case "floor":
            return i3d | others
        case _:
            return i3d


@dataclass
class _Taking:
    """One evaluator at work."""

    setting: Setting
    means: Means
    total: int = 0
    """Clips whose features were missing, or are a generator's."""
    done: int = 0
    found: dict[Role, dict[str, Column]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        a, b = self.setting.reals.a, self.setting.reals.b
        known = {_window(clip) for clip in (*a, *b)}
        more = tuple(clip for clip in self.setting.training if _window(clip) not in known)
        self.clips: dict[Role, tuple[RealClip, ...]] = {
            "real": a,
            "floor": b,
            "shuffled": b,
            "frozen": b,
            "blank": b,
            "training": more,
        }

    def num_missing(self) -> int:
        """Clips of the roles that the store does not have, looking there for each."""
        return sum(len(self.clips[role]) for role in self.clips if not self._look(role))

    def reference(self) -> dict[Role, Columns]:
        """Features of every role but the fakes."""
        waited_for = ""
        while pending := [role for role in self.clips if not self._look(role)]:
            held = [self._take(role) for role in pending]
            if None in held:
                continue
            if held[0] and held[0] != waited_for:
                waited_for = held[0]
                self.means.progress(ProgressEvent("evaluate", self.done, None, "clips", waited_for))
            time.sleep(_POLL_S)
        features: dict[Role, Columns] = dict(self.found)
        features["training"] = self._training()
        return features

    def fakes(self, generator: GeneratorRef) -> Columns:
        """Features of a generator's clips."""
        names = tuple(columns_of("fake", self.setting))
        return self._compute("fake", names, self.setting.num_clips, generator)

    def tell(self, num: int) -> None:
        """Count clips as done."""
        self.done += num
        self.means.progress(
            ProgressEvent("evaluate", self.done, max(self.total, self.done), "clips")
        )

    def _look(self, role: Role) -> bool:
        """Whether every column of a role is known, from the store at the latest."""
        known = self.found.setdefault(role, {})
        num = len(self.clips[role])
        for name, entry in self._entries(role).items():
            if name not in known and num:
                values = load_column(self.means.store, entry, num)
                if values is not None:
                    known[name] = values
        return num == 0 or known.keys() == self._entries(role).keys()

    def _take(self, role: Role) -> str | None:
        """Compute a role's missing columns; who is at it, where another evaluator is."""
        num = len(self.clips[role])
        with ExitStack() as leases:
            for name, entry in self._entries(role).items():
                if name in self.found[role] or self.means.is_idle:
                    continue
                try:
                    leases.enter_context(hold_work(self.means.store, entry.lease_key))
                except LeaseHeldError as error:
                    return f"waiting for the features of {role} clips: {error}"
            if self._look(role):
                return None
            missing = tuple(set(self._entries(role)) - set(self.found[role]))
            for name, values in self._compute(role, tuple(sorted(missing)), num).items():
                save_column(self.means.store, self._entries(role)[name], values)
                self.found[role][name] = values
        return None

    def _compute(
        self, role: Role, columns: tuple[str, ...], num: int, generator: GeneratorRef | None = None
    ) -> dict[str, Column]:
        workers, setting = self.means.workers, self.setting
        has_gpu = workers.num_gpus() > 0
        source = Source(
            weights_dir=weights_dir(self.means.settings),
            storage=self.means.storage,
            dataset=setting.dataset,
            config=setting.config,
            codec=setting.reals.codec,
            device="cuda" if has_gpu else "cpu",
            role=role,
            columns=columns,
            generator=generator,
        )
        batches = list(batches_of(source, num, self.clips.get(role, ())))
        results: dict[int, Columns] = {}
        for index, values in workers.map(extract, batches, num_gpus=1 if has_gpu else 0):
            results[index] = values
            self.tell(batches[index].num)
        ordered = [results[index] for index in range(len(batches))]
        return {name: np.concatenate([one[name] for one in ordered]) for name in columns}

    def _entries(self, role: Role) -> dict[str, Entry]:
        setting = self.setting
        return {
            name: Entry(setting.dataset, setting.protocol, role, name, sha256)
            for name, sha256 in columns_of(role, setting).items()
        }

    def _training(self) -> Columns:
        """In the order of `setting.training`; those of A and B are theirs."""
        names = columns_of("training", self.setting)
        rows: dict[tuple[str, int], tuple[Role, int]] = {}
        roles: tuple[Role, ...] = ("training", "floor", "real")
        for role in roles:
            rows |= {_window(clip): (role, i) for i, clip in enumerate(self.clips[role])}
        places = [rows[_window(clip)] for clip in self.setting.training]
        return {
            name: np.stack([self.found[role][name][i] for role, i in places])
            for name in names
            if places
        }


def _window(clip: RealClip) -> tuple[str, int]:
    return clip.row.clip_id, clip.start
