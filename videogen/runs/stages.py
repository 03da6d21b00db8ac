"""Running one stage of a run: reuse by key, own by lease, result written last."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from time import monotonic
from typing import Generic, TypeVar

from videogen.artifacts import Artifact, DatasetRef, StageResult
from videogen.config.run import RunConfig, Stage
from videogen.errors import ConfigError
from videogen.runs import stage_key as keys
from videogen.runs.code_version import code_version
from videogen.runs.handle import RunHandle
from videogen.runs.lease import DataUse, Lease, hold_lease

A = TypeVar("A", bound=Artifact)
A_co = TypeVar("A_co", bound=Artifact, covariant=True)


@dataclass(frozen=True)
class StageRun:
    """What the work of a stage is told about the run it belongs to."""

    handle: RunHandle
    key: str
    lease: Lease
    unfinished: tuple[str, ...]
    """Runs that began this very key and did not finish it, newest first; this run may be one."""


@dataclass(frozen=True)
class StageTask(Generic[A]):
    """A stage with everything bound but the run."""

    stage: Stage
    inputs: Mapping[str, str]
    """Digests of what the stage works on, by name."""
    artifact: type[A]
    work: Callable[[StageRun], A]
    is_present: Callable[[A], bool]
    """Whether what an earlier result refers to is still there."""

    def key(self, config: RunConfig) -> str:
        """The stage key under this config."""
        return keys.stage_key(self.stage, config.stage_document(self.stage), self.inputs)


@dataclass(frozen=True)
class StageOutcome(Generic[A_co]):
    """A stage's result with its artifact parsed."""

    result: StageResult
    artifact: A_co


def find_result(handle: RunHandle, config: RunConfig, task: StageTask[A]) -> StageOutcome[A] | None:
    """The finished result for this config and these inputs, in this run or another, or None."""
    key = task.key(config)
    own = handle.read(task.stage)
    if own is not None and own.key == key:
        return _outcome_if_present(own, task)
    record = keys.read_record(handle.store, key)
    if record is None or not record.done:
        return None
    found = RunHandle(handle.store, record.holder).read(task.stage)
    return None if found is None or found.key != key else _outcome_if_present(found, task)


def run_stage(
    handle: RunHandle, config: RunConfig, task: StageTask[A], *, force: bool = False
) -> StageOutcome[A]:
    """Link a finished result, or do the work under the run's lease.

    Raises `LeaseHeldError` where another process works on the run, and whatever the work raises.
    """
    key = task.key(config)
    found = None if force else find_result(handle, config, task)
    if found is not None:
        return _link(handle, found)
    _refuse_other_config(handle, task.stage, key, force=force)
    began = monotonic()
    use = DataUse(config.name, task.inputs.get("snapshot"))
    with hold_lease(handle.store, handle.run_id, use) as lease:
        record = keys.begin(handle.store, key, handle.run_id)
        unfinished = () if force else tuple(reversed(record.runs))
        artifact = task.work(StageRun(handle, key, lease, unfinished))
        lease.check()
        result = _write_result(handle, task.stage, key, artifact, began)
        keys.finish(handle.store, key, handle.run_id)
    return StageOutcome(result, artifact)


def run_ingest(
    handle: RunHandle, config: RunConfig, work: Callable[[], DatasetRef]
) -> StageOutcome[DatasetRef]:
    """Bring the dataset up to date under the run's lease.

    An ingest is never linked: only a look at the sources tells whether anything is new, and one
    that finds nothing new answers with the snapshot that is there. Its key names that snapshot.
    """
    began = monotonic()
    use = DataUse(config.name, is_ingest=True)
    with hold_lease(handle.store, handle.run_id, use) as lease:
        dataset = work()
        lease.check()
        inputs = {"snapshot": dataset.snapshot}
        key = keys.stage_key("ingest", config.stage_document("ingest"), inputs)
        result = _write_result(handle, "ingest", key, dataset, began)
    return StageOutcome(result, dataset)


def _write_result(
    handle: RunHandle, stage: Stage, key: str, artifact: Artifact, began: float
) -> StageResult:
    result = StageResult(
        stage=stage,
        key=key,
        run_id=handle.run_id,
        code_version=code_version(),
        finished_at=datetime.now(UTC).isoformat(timespec="seconds"),
        seconds=round(monotonic() - began, 3),
        artifact=artifact.model_dump(mode="json"),
    )
    handle.write(result)
    return result


def _refuse_other_config(handle: RunHandle, stage: Stage, key: str, *, force: bool) -> None:
    own = handle.read(stage)
    if own is not None and own.key != key and not force:
        raise ConfigError(
            f"run {handle.run_id} already holds a {stage} result of another config or dataset; "
            "use another --run-id, or --force to replace it"
        )


def _outcome_if_present(result: StageResult, task: StageTask[A]) -> StageOutcome[A] | None:
    artifact = task.artifact.model_validate(result.artifact)
    return StageOutcome(result, artifact) if task.is_present(artifact) else None


def _link(handle: RunHandle, found: StageOutcome[A]) -> StageOutcome[A]:
    if found.result.run_id == handle.run_id:
        return found
    origin = found.result.reused_from or found.result.run_id
    linked = found.result.model_copy(update={"run_id": handle.run_id, "reused_from": origin})
    handle.write(linked)
    return StageOutcome(linked, found.artifact)
