"""`--dry-run`: the stages, what would be reused, the time and disk that the rest would take."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from videogen.cli.stage_tasks import Stages
from videogen.config.run import RunConfig, Stage
from videogen.errors import ConfigError, DatasetError
from videogen.runs.stage_key import read_record
from videogen.runs.stages import StageTask, find_result

# Measured by `make demo` on two cores with AVX-512 BF16 (README); training in fp32 takes 1.4 to 1.8
# times as long.
_INGEST_VIDEOS_PER_S = 100.0
_TRAIN_PIXELS_PER_S = 1.3e6
_EVALUATE_CLIP_FRAMES_PER_S = 90.0
_REGISTER_S = 5.0
_STAGE_START_S = 6.0
_EVALUATED_SETS = 6
_CHECKPOINT_BYTES = 20 << 20


@dataclass(frozen=True)
class PlannedStage:
    """What would become of one stage."""

    stage: Stage
    action: str
    """`reuse`, `resume` or `run`."""
    detail: str
    seconds: float
    disk_bytes: int


def print_plan(stages: Stages, which: Sequence[Stage], *, as_json: bool) -> None:
    """Print the plan; nothing is started or written."""
    planned: list[PlannedStage] = []
    for stage in which:
        follows_work = any(one.action != "reuse" for one in planned)
        planned.append(_planned(stages, stage, follows_work=follows_work))
    if as_json:
        print(json.dumps(_document(stages, planned)))
        return
    for one in planned:
        cost = (
            "" if one.action == "reuse" else f"about {_span(one.seconds)}, {_size(one.disk_bytes)}"
        )
        print(f"{one.stage:<9} {one.action:<7} {one.detail:<58} {cost}".rstrip())
    seconds = sum(one.seconds for one in planned)
    size = sum(one.disk_bytes for one in planned)
    root = stages.services.store.root
    print(f"in all about {_span(seconds)} on two cores, and {_size(size)} in {root}")


def _document(stages: Stages, planned: Sequence[PlannedStage]) -> dict[str, Any]:
    return {
        "run_id": stages.handle.run_id,
        "root": stages.services.store.root,
        "stages": [asdict(one) for one in planned],
        "seconds": sum(one.seconds for one in planned),
        "disk_bytes": sum(one.disk_bytes for one in planned),
    }


def _planned(stages: Stages, stage: Stage, *, follows_work: bool) -> PlannedStage:
    if stage == "ingest":
        return _planned_ingest(stages)
    if follows_work:
        return _to_run(stages.config, stage, "run", "its input changes in this run")
    try:
        return _looked_up(stages, stage, _task(stages, stage))
    except (ConfigError, DatasetError):
        return _to_run(stages.config, stage, "run", "its input does not exist yet")


def _looked_up(stages: Stages, stage: Stage, task: StageTask[Any]) -> PlannedStage:
    found = find_result(stages.handle, stages.config, task)
    if found is not None:
        origin = found.result.reused_from or found.result.run_id
        return PlannedStage(stage, "reuse", f"run {origin} holds the result", 0.0, 0)
    record = read_record(stages.services.store, task.key(stages.config))
    if record is not None and not record.done:
        return _to_run(stages.config, stage, "resume", f"run {record.holder} did not finish it")
    return _to_run(stages.config, stage, "run", "no result for this config and data")


def _planned_ingest(stages: Stages) -> PlannedStage:
    from videogen.ingest.stage import plan

    ingest = plan(stages.config, stages.services.store)
    if ingest.is_done:
        return PlannedStage("ingest", "reuse", "no new videos", 0.0, 0)
    new = len(ingest.new)
    seconds = _STAGE_START_S + new / _INGEST_VIDEOS_PER_S
    height, width = stages.config.ingest.resolution
    disk = new * 2 * stages.config.ingest.max_clip_frames * height * width * 3
    detail = f"{new} new videos, {_size(ingest.new_bytes)}"
    if not new:
        detail = "no new videos; the snapshot changes for known ones"
    return PlannedStage("ingest", "run", detail, seconds, disk)


def _task(stages: Stages, stage: Stage) -> StageTask[Any]:
    if stage == "train":
        return stages.train()
    checkpoint = stages.checkpoint()
    if stage == "evaluate":
        return stages.evaluate(checkpoint)
    return stages.register(checkpoint, stages.report())


def _to_run(config: RunConfig, stage: Stage, action: str, detail: str) -> PlannedStage:
    height, width = config.ingest.resolution
    match stage:
        case "train":
            pixels = config.train.total_clips * config.train.num_frames * height * width
            seconds = _STAGE_START_S + pixels / _TRAIN_PIXELS_PER_S
            disk = _CHECKPOINT_BYTES * config.train.keep_checkpoints
        case "evaluate":
            frames = config.evaluate.num_clips * config.evaluate.num_frames * _EVALUATED_SETS
            seconds, disk = _STAGE_START_S + frames / _EVALUATE_CLIP_FRAMES_PER_S, 5 << 20
        case _:
            seconds, disk = _REGISTER_S, 10 << 20
    return PlannedStage(stage, action, detail, seconds, disk)


def _span(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"  # noqa: PLR2004 - a minute and a half


def _size(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:,.0f} MB"
