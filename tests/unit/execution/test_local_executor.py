"""The local executor and the lifeline, with real subprocesses."""

import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil
import pytest

from videogen.artifacts import StageResult
from videogen.errors import ConfigError, ServiceError, StageFailedError
from videogen.execution.executor import StageJob, run_job
from videogen.execution.local import LocalExecutor
from videogen.progress import ProgressEvent, silent

JOB = StageJob("train", "demo", "run-1")
_DEADLINE_S = 20.0


def result(run_id: str = "run-1", seconds: float = 1.0) -> StageResult:
    return StageResult(
        stage="train",
        key="k",
        run_id=run_id,
        code_version="0",
        finished_at="2026-01-01T00:00:00+00:00",
        seconds=seconds,
        artifact={},
    )


class Place:
    """A directory with an executor whose stage is a script, and where results are files."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.result_path = directory / "result.json"

    def read(self, job: StageJob) -> StageResult | None:
        if not self.result_path.exists():
            return None
        return StageResult.model_validate_json(self.result_path.read_text())

    def executor(self, script: str) -> LocalExecutor:
        path = self.directory / "stage.py"
        path.write_text(textwrap.dedent(script))
        return LocalExecutor(
            result_of=self.read,
            log_dir=self.directory / "logs",
            command=(sys.executable, str(path)),
        )

    @property
    def writes_result(self) -> str:
        return f"open({str(self.result_path)!r}, 'w').write({result().model_dump_json()!r})"


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def wait_until_gone(pids: list[int]) -> None:
    deadline = time.monotonic() + _DEADLINE_S
    while time.monotonic() < deadline:
        alive = [pid for pid in pids if _is_alive(pid)]
        if not alive:
            return
        time.sleep(0.05)
    pytest.fail(f"processes {alive} are left behind")


def _is_alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def read_pids(path: Path, count: int) -> list[int]:
    deadline = time.monotonic() + _DEADLINE_S
    while time.monotonic() < deadline:
        if path.exists() and len(pids := path.read_text().split()) == count:
            return [int(pid) for pid in pids]
        time.sleep(0.05)
    pytest.fail(f"{path} was not written")


def test_progress_goes_to_one_callable_and_other_lines_to_the_other_and_the_log(place):
    event = ProgressEvent("train", 3, 10, "clips", "hello", {"loss": 0.5})
    executor = place.executor(f"""
        import sys
        print({event.to_json()!r}, file=sys.stderr)
        print("a line", file=sys.stderr)
        print("to standard output")
        {place.writes_result}
        print("no newline at the end", file=sys.stderr, end="")
    """)
    events, lines = [], []

    outcome = run_job(executor, JOB, progress=events.append, log=lines.append)

    assert outcome == result()
    assert events == [event]
    assert lines == ["a line", "no newline at the end"]
    logged = (place.directory / "logs" / "train.log").read_text().splitlines()
    assert sorted(logged) == ["a line", "no newline at the end", "to standard output"]
    assert executor.status(JOB.id) == "ended"


def test_the_command_gets_stage_config_run_id_and_force(place):
    executor = place.executor(f"""
        import sys
        {place.writes_result}
        print(*sys.argv[1:], file=sys.stderr)
    """)
    lines = []
    job = StageJob("evaluate", "my run.yaml", "r1", force=True)

    run_job(executor, job, progress=silent, log=lines.append)

    assert lines == ["evaluate my run.yaml --run-id r1 --progress jsonl --force"]


def test_a_failing_stage_is_reported_with_its_last_error_line(place):
    executor = place.executor("""
        import sys
        print("error: not this one", file=sys.stderr)
        sys.exit("error: dataset demo: no clips; add videos")
    """)

    with pytest.raises(StageFailedError, match=r"^train: dataset demo: no clips; add videos$"):
        run_job(executor, JOB, progress=silent, log=lambda _: None)


def test_a_stage_that_refuses_its_config_is_a_config_error_here_too(place):
    executor = place.executor("""
        import sys
        print("error: ingest.sources is empty", file=sys.stderr)
        sys.exit(2)
    """)

    with pytest.raises(ConfigError, match=r"^train: ingest\.sources is empty$"):
        run_job(executor, JOB, progress=silent, log=lambda _: None)


def test_a_stage_that_exits_0_without_a_result_has_failed(place):
    executor = place.executor("import sys; print('last words', file=sys.stderr)")

    with pytest.raises(StageFailedError, match=r"exit code 0 without a result.*last words.*log"):
        run_job(executor, JOB, progress=silent, log=lambda _: None)


def test_a_killed_stage_that_wrote_its_result_is_done(place):
    executor = place.executor(f"""
        import os
        {place.writes_result}
        os.kill(os.getpid(), 9)
    """)

    assert run_job(executor, JOB, progress=silent, log=lambda _: None) == result()


def test_a_result_from_before_does_not_hide_a_failure(place):
    place.result_path.write_text(result(seconds=9.0).model_dump_json())
    executor = place.executor("raise SystemExit('error: no')")

    with pytest.raises(StageFailedError, match="train: no"):
        run_job(executor, JOB, progress=silent, log=lambda _: None)


def test_submitting_twice_runs_once(place):
    executor = place.executor(f"""
        open({str(place.directory / "starts")!r}, "a").write("x")
        {place.writes_result}
    """)
    assert executor.status(JOB.id) == "unknown"

    executor.submit(JOB)
    executor.submit(JOB)
    first = executor.follow(JOB.id, progress=silent, log=lambda _: None)
    executor.submit(JOB)

    assert executor.follow(JOB.id, progress=silent, log=lambda _: None) == first
    assert (place.directory / "starts").read_text() == "x"


def test_an_unknown_job_cannot_be_followed(place):
    with pytest.raises(ServiceError, match="'nothing' was not submitted"):
        place.executor("").follow("nothing", progress=silent, log=lambda _: None)


def test_a_command_that_does_not_exist_is_named(place):
    executor = LocalExecutor(
        result_of=place.read, log_dir=place.directory, command=("/no/such/videogen",)
    )

    with pytest.raises(ServiceError, match="/no/such/videogen"):
        executor.submit(JOB)


STUBBORN = """
    import os, signal, subprocess, sys, time
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    open({pids!r}, "w").write(f"{{os.getpid()}} {{child.pid}}")
    while True:
        print("noise " * 1000, file=sys.stderr)
        time.sleep(0.01)
"""


def test_cancel_ends_a_stage_that_ignores_signals_and_its_children(place):
    executor = place.executor(STUBBORN.format(pids=str(place.directory / "pids")))
    executor.submit(JOB)
    pids = read_pids(place.directory / "pids", 2)
    assert executor.status(JOB.id) == "running"

    executor.cancel(JOB.id, grace_s=0.3)
    executor.cancel(JOB.id)

    wait_until_gone(pids)
    assert executor.status(JOB.id) == "ended"


def test_cancel_first_asks_as_ctrl_c_does(place):
    executor = place.executor(f"""
        import time
        try:
            open({str(place.directory / "pids")!r}, "w").write("1")
            time.sleep(60)
        except KeyboardInterrupt:
            open({str(place.directory / "asked")!r}, "w").close()
    """)
    executor.submit(JOB)
    read_pids(place.directory / "pids", 1)

    executor.cancel(JOB.id)

    assert (place.directory / "asked").exists()


def test_what_a_stage_leaves_in_its_group_is_ended_and_not_waited_for(place):
    executor = place.executor(f"""
        import os, subprocess, sys
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        open({str(place.directory / "pids")!r}, "w").write(str(child.pid))
        {place.writes_result}
    """)

    run_job(executor, JOB, progress=silent, log=lambda _: None)

    wait_until_gone(read_pids(place.directory / "pids", 1))


PARENT = """
    import signal, sys
    signal.signal(signal.SIGINT, signal.default_int_handler)
    from pathlib import Path
    from videogen.execution.executor import StageJob, run_job
    from videogen.execution.local import LocalExecutor
    executor = LocalExecutor(
        result_of=lambda job: None, log_dir=Path({logs!r}), command=(sys.executable, {stage!r})
    )
    run_job(
        executor, StageJob("train", "c", "r"), progress=lambda e: None, log=lambda line: None
    )
"""
STAGE = """
    import os, subprocess, sys, time
    from videogen.execution.lifeline import follow_parent
    follow_parent(grace_s=0.5)
    child = subprocess.Popen([sys.executable, "-c", {child!r}])
    open({pids!r}, "w").write(f"{{os.getpid()}} {{child.pid}}")
    {rest}
"""
WAITS = "time.sleep(60)"
HANGS = "\n    while True:\n        try: time.sleep(60)\n        except KeyboardInterrupt: pass"


def start_parent(directory: Path, rest: str) -> tuple["subprocess.Popen[bytes]", list[int]]:
    stage, pids = directory / "stage.py", directory / "pids"
    child = "import time; time.sleep(60)" if rest == HANGS else ""
    script = STAGE.format(child=child, pids=str(pids), rest=rest)
    stage.write_text(textwrap.dedent(script))
    parent = subprocess.Popen(
        [
            sys.executable,
            "-c",
            textwrap.dedent(PARENT.format(logs=str(directory), stage=str(stage))),
        ],
        start_new_session=True,
        stderr=subprocess.DEVNULL,
    )
    return parent, read_pids(pids, 2)


@pytest.mark.parametrize("rest", [WAITS, HANGS], ids=["orderly", "hung"])
def test_a_stage_ends_when_its_parent_is_killed(tmp_path, rest):
    parent, pids = start_parent(tmp_path, rest)

    parent.kill()
    parent.wait()

    wait_until_gone(pids)


def test_ctrl_c_in_the_parent_ends_the_stage(tmp_path):
    parent, pids = start_parent(tmp_path, WAITS)

    parent.send_signal(signal.SIGINT)

    assert parent.wait(_DEADLINE_S) == -signal.SIGINT
    wait_until_gone(pids)


def test_without_a_parent_that_asks_standard_input_is_left_alone():
    script = (
        "from videogen.execution.lifeline import follow_parent; import time;"
        "follow_parent(); time.sleep(0.3); print('alive')"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], stdin=subprocess.DEVNULL, capture_output=True, check=True
    )
    assert done.stdout == b"alive\n"
