"""Who works with a snapshot, or did: live leases, and runs by what their stages left."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Protocol

from videogen.config.run import Stage
from videogen.errors import LeaseHeldError
from videogen.runs.handle import RunHandle
from videogen.runs.lease import LiveLease, last_use, live_leases
from videogen.storage.base import ObjectStore

_THREADS = 16
_STAGES: tuple[Stage, ...] = ("ingest", "train", "evaluate")


@dataclass(frozen=True)
class RunUse:
    """A run by the snapshots that its stages name."""

    run_id: str
    snapshots: Mapping[Stage, str]
    previews: tuple[str, ...] = field(default=())
    """Keys of the files that its evaluation shows."""
    begun: str | None = None
    """The snapshot that its newest stage worked with, whether or not that was finished."""

    def stages_with(self, snapshots: Collection[str]) -> tuple[Stage, ...]:
        """The stages that worked with any of these."""
        return tuple(stage for stage, one in self.snapshots.items() if one in snapshots)


class Tracked(Protocol):
    """What a tracking system knows of snapshots; each method raises `RegistryError`."""

    def model_versions(self, snapshots: Collection[str]) -> tuple[str, ...]:
        """Versions in the model registry that were trained with any of these, as `NAME/VERSION`."""

    def purge_sheets(self, snapshots: Collection[str], store: ObjectStore) -> int:
        """Delete what evaluations of these uploaded, which shows real clips; how many files.

        Those that lie below `store` go with every version of theirs.
        """


def run_uses(store: ObjectStore) -> Iterator[RunUse]:
    """All runs whose stages name a snapshot, or began with one.

    Raises `CorruptObjectError` for a damaged result or lease.
    """
    with ThreadPoolExecutor(_THREADS) as threads:
        for use in threads.map(lambda run_id: _use_of(store, run_id), store.children("runs/")):
            if use.snapshots or use.begun:
                yield use


def refuse_in_use(store: ObjectStore, dataset: str, snapshots: Collection[str], doing: str) -> None:
    """Raise `LeaseHeldError` where a live lease reads one of the snapshots, or ingests meanwhile.

    `doing` says what is refused. An owner that does not say what it works with counts too.
    """
    for lease in live_leases(store):
        if _is_in_way(lease, dataset, snapshots):
            use = lease.use
            does = "ingests into it" if use and use.is_ingest else "works with a snapshot of it"
            raise LeaseHeldError(
                f"dataset {dataset}: {doing} is refused while run {lease.run_id} (process "
                f"{lease.pid} on {lease.host}) {does}: wait for it to end, or stop it"
            )


def described(uses: Iterable[RunUse], snapshots: Collection[str]) -> tuple[str, ...]:
    """`RUN_ID (train, evaluate)` for each run that has worked with any of the snapshots."""
    found = ((use.run_id, use.stages_with(snapshots)) for use in uses)
    return tuple(sorted(f"{run_id} ({', '.join(stages)})" for run_id, stages in found if stages))


def _is_in_way(lease: LiveLease, dataset: str, snapshots: Collection[str]) -> bool:
    use = lease.use
    if use is None:
        return True
    return use.dataset == dataset and (use.is_ingest or use.snapshot in snapshots)


def _use_of(store: ObjectStore, run_id: str) -> RunUse:
    handle = RunHandle(store, run_id)
    found: dict[Stage, str] = {}
    previews: tuple[str, ...] = ()
    for stage in _STAGES:
        result = handle.read(stage)
        artifact: dict[str, Any] = result.artifact if result else {}
        snapshot = (artifact.get("protocol") or artifact).get("snapshot")
        if snapshot:
            found[stage] = str(snapshot)
        previews += tuple((artifact.get("previews") or {}).values())
    use = last_use(store, run_id)
    return RunUse(run_id, found, previews, None if use is None else use.snapshot)
