"""What each training worker does: put the parts together, resume, and loop."""

import logging
import shutil
import tempfile
from pathlib import Path

from videogen.data.loading.loader import Loader
from videogen.progress import ProgressEvent
from videogen.storage.connect import open_store
from videogen.training.assembly import TrainTask, build_step, open_windows, outputs_of
from videogen.training.decisions import Decisions
from videogen.training.loop import train
from videogen.training.parallel import Parallel
from videogen.training.session import Channel, Session

_log = logging.getLogger(__name__)


def run(task: TrainTask, parallel: Parallel, channel: Channel) -> None:
    """Train from the run's newest checkpoint to the end, or until asked to stop.

    Raises as `videogen.training.stage.train` does.
    """
    work_dir = Path(tempfile.mkdtemp(prefix="videogen-train-"))
    try:
        _run(task, parallel, channel, work_dir)
    finally:
        shutil.rmtree(work_dir, ignore_errors=True)


def _run(task: TrainTask, parallel: Parallel, channel: Channel, work_dir: Path) -> None:
    config, execution, dataset = task.config.train, task.config.execution, task.dataset
    store = open_store(task.storage)

    def warn(message: str) -> None:
        _log.warning(message)
        if parallel.is_first:
            channel.tell(ProgressEvent("train", 0, config.total_clips, "clips", message))

    step = build_step(task, parallel, warn)
    session = Session(
        task.identity, step, parallel, store, outputs_of(task, step), channel, work_dir
    )
    try:
        clips_seen = session.restore()
        loader = Loader(
            open_windows(task, store, session.warn),
            task.share(parallel),
            parallel.device,
            clips_seen=clips_seen,
            threads=execution.loader_threads,
        )
        decisions = Decisions(
            config=config,
            resolution=(dataset.height, dataset.width),
            parallel=parallel,
            micro_batch_clips=execution.micro_batch_clips,
            compute=step.compute.reason,
            data=loader.describe(),
            clips_seen=clips_seen,
        )
        session.say(str(decisions))
        with loader as batches:
            train(config, step, batches, session.hooks, parallel=parallel, clips_seen=clips_seen)
    except BaseException:
        session.abandon()
        raise
    session.close()
