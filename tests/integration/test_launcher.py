"""Workers by Ray Train, seen from the process that starts them."""

import tempfile
import time
from pathlib import Path

import pytest

from videogen.config.sections import ExecutionConfig
from videogen.execution.ray_session import Cluster, ClusterSpec
from videogen.training import launcher
from videogen.training.launcher import launch
from videogen.training.parallel import Parallel
from videogen.training.session import Channel

pytestmark = [
    pytest.mark.machine,
    pytest.mark.filterwarnings("ignore::DeprecationWarning:ray"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

_DEAF_S = 60.0


def test_an_interrupt_leaves_no_directory_although_workers_outlast_the_grace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(launcher, "_STOP_GRACE_S", 2.0)

    def deaf(parallel: Parallel, channel: Channel) -> None:
        """Inside the test, so that it travels by value: workers cannot import this file."""
        time.sleep(_DEAF_S)

    execution = ExecutionConfig(num_workers=1, use_gpu=False)
    with Cluster(ClusterSpec(num_cpus=1)) as cluster:
        attempt = launch(deaf, cluster, execution, "deaf")
        monkeypatch.setattr(attempt, "_pass_on", _interrupted)
        with pytest.raises(KeyboardInterrupt):
            attempt.wait(print)
    assert list(tmp_path.glob("videogen-ray-train-*")) == []


def _interrupted(progress: object) -> None:
    if any(Path(tempfile.gettempdir()).glob("videogen-ray-train-*/*")):
        raise KeyboardInterrupt
