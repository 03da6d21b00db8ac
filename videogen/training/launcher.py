"""Workers by Ray Train: the only place that knows it, and all that it is trusted with.

Ray starts the workers, joins them into a process group and restarts them when one dies. What is
committed, and where to go on from, is in the store; Ray Train is given no checkpoint, a name of
its own for every attempt, and a directory that is removed afterwards.
"""

import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator
from concurrent import futures
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ray.exceptions import RayError
from ray.train import FailureConfig, RunConfig, ScalingConfig, TrainingFailedError, UserCallback
from ray.train.torch import TorchConfig, TorchTrainer, get_device
from torch import distributed

from videogen.config.sections import ExecutionConfig
from videogen.config.settings import apply_environment, environment_value
from videogen.errors import TrainingError, VideogenError
from videogen.execution.mailbox import Mailbox, MailboxChannel
from videogen.execution.ray_session import Cluster
from videogen.progress import Progress
from videogen.training.parallel import Parallel
from videogen.training.session import Channel

MAX_WORKER_FAILURES = 2
_POLL_S = 0.5
_STOP_GRACE_S = 30.0
_ENVIRONMENT: dict[str, str | None] = {
    "RAY_TRAIN_ENABLE_PRINT_PATCH": "0",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",  # also how late an end is seen; 2 by default
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_TRAIN_METRICS_ENABLED": "0",
}

Work = Callable[[Parallel, Channel], None]
"""What each worker does; it travels to the workers, so it holds plain values only."""


def launch(work: Work, cluster: Cluster, execution: ExecutionConfig, name: str) -> "Attempt":
    """Workers that are about to run `work`; see `Attempt.wait`. Connects to Ray.

    Raises:
        TrainingError: a Ray of this machine alone has too few CPUs or GPUs.
        ServiceError: Ray cannot be reached or started.
    """
    cluster.connect()
    use_gpu = cluster.num_gpus() > 0 if execution.use_gpu is None else execution.use_gpu
    _require_room(cluster, execution, use_gpu=use_gpu)
    resources = {"CPU": execution.cpus_per_worker, **({"GPU": 1.0} if use_gpu else {})}
    scaling = ScalingConfig(
        num_workers=execution.num_workers, use_gpu=use_gpu, resources_per_worker=resources
    )
    return Attempt(work, scaling, f"{name}-{secrets.token_hex(4)}")


def _require_room(cluster: Cluster, execution: ExecutionConfig, *, use_gpu: bool) -> None:
    if cluster.spec.address is not None:
        return  # a cluster may grow
    needed = execution.num_workers * execution.cpus_per_worker
    if needed > cluster.num_cpus():
        raise TrainingError(
            f"{execution.num_workers} workers of {execution.cpus_per_worker:g} CPUs need more than "
            f"this machine's {cluster.num_cpus()}: lower execution.num_workers or "
            "execution.cpus_per_worker"
        )
    if use_gpu and execution.num_workers > cluster.num_gpus():
        raise TrainingError(
            f"{execution.num_workers} workers need a GPU each, this machine has "
            f"{cluster.num_gpus()}: lower execution.num_workers, or set execution.use_gpu to false"
        )


class _NoRetryOfOurErrors(UserCallback):
    """Ends the run where a worker met an error that a new attempt would only meet again."""

    def __init__(self, mailbox: Mailbox) -> None:
        self._mailbox = mailbox

    def after_exception(self, run_context: object, worker_exceptions: object) -> None:  # noqa: ARG002 - Ray Train's signature
        """Called in Ray Train's controller, which takes an exception for an end."""
        failure = self._mailbox.failure()
        if failure is not None:
            raise failure


@dataclass
class Attempt:
    """One start of the workers, in a thread, so that the caller hears of progress and of Ctrl-C."""

    work: Work
    scaling: ScalingConfig
    name: str
    _mailbox: Mailbox = field(default_factory=Mailbox.open)

    def wait(self, progress: Progress) -> None:
        """Run to the end, passing the workers' events on.

        On an interrupt the workers are asked to stop, which ends with a checkpoint, and are given
        30 s for it.

        Raises:
            VideogenError: the very error that a worker raised.
            TrainingError: workers died again and again.
        """
        directory = Path(tempfile.mkdtemp(prefix="videogen-ray-train-"))
        thread = ThreadPoolExecutor(1, thread_name_prefix="ray-train")
        fit = thread.submit(self._fit, directory)
        try:
            while not fit.done():
                futures.wait([fit], timeout=_POLL_S)
                self._pass_on(progress)
        finally:
            try:
                if not fit.done():
                    self._mailbox.stop()
                    futures.wait([fit], timeout=_STOP_GRACE_S)
            finally:  # also after a second interrupt; that thread may outlast the grace
                thread.shutdown(wait=False)
                shutil.rmtree(directory, ignore_errors=True)
        self._raise_failure(fit)

    def _fit(self, directory: Path) -> None:
        callback = _NoRetryOfOurErrors(self._mailbox)
        with _environment():
            TorchTrainer(
                _run_worker,
                train_loop_config={"work": self.work, "mailbox": self._mailbox},
                torch_config=TorchConfig(backend="nccl" if self.scaling.use_gpu else "gloo"),
                scaling_config=self.scaling,
                run_config=RunConfig(
                    name=self.name,
                    storage_path=str(directory),
                    failure_config=FailureConfig(max_failures=MAX_WORKER_FAILURES),
                    callbacks=[callback],  # type: ignore[list-item] # declared for Train V1
                ),
            ).fit()

    def _pass_on(self, progress: Progress) -> None:
        for event in self._mailbox.take():
            progress(event)

    def _raise_failure(self, fit: Future[None]) -> None:
        failure = self._mailbox.failure()
        self._mailbox.close()
        try:
            fit.result()
        except (TrainingFailedError, RayError) as error:
            if failure is not None:
                raise failure from error
            reason = str(error).strip().splitlines()[-1]
            raise TrainingError(
                f"the training workers failed {MAX_WORKER_FAILURES + 1} times, at last with: "
                f"{reason}; the same command goes on from the last checkpoint (a worker that dies "
                "without a word is most often out of memory)"
            ) from error


def _run_worker(config: dict[str, Any]) -> None:
    """What Ray Train calls in each worker process."""
    work: Work = config["work"]
    mailbox: Mailbox = config["mailbox"]
    try:
        work(Parallel.joined(get_device()), MailboxChannel(mailbox))
    except VideogenError as error:
        mailbox.fail(error)
        if distributed.is_initialized():
            distributed.destroy_process_group()  # else workers that wait for this one wait on
        raise


@contextmanager
def _environment() -> Iterator[None]:
    """Ray Train reads these in the driver when a run begins."""
    before = {name: environment_value(name) for name in _ENVIRONMENT}
    apply_environment(_ENVIRONMENT)
    try:
        yield
    finally:
        apply_environment(before)
