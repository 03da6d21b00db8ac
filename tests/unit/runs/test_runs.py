"""Runs: who owns one, what counts as committed, and when a stage's result is reused."""

import json
import socket
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from videogen.artifacts import ModelRef
from videogen.config.loading import to_yaml
from videogen.config.run import RunConfig
from videogen.errors import (
    ConfigError,
    CorruptObjectError,
    LeaseHeldError,
    PreconditionFailedError,
    StorageError,
)
from videogen.presets import load_config
from videogen.runs.handle import RunHandle, checked_run_id, new_run_id
from videogen.runs.lease import hold_lease
from videogen.runs.pointer import Committed, RunPointer, committed_checkpoints, take_pointer
from videogen.runs.stage_key import begin, finish, read_record, stage_key
from videogen.runs.stages import StageRun, StageTask, find_result, run_stage
from videogen.storage.base import ObjectStore
from videogen.storage.local import LocalStore

MODEL = ModelRef(name="m", version="1", uri="models:/m/1", aliases=(), decision="challenger")


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    return LocalStore(tmp_path)


def register_task(
    work: Callable[[StageRun], ModelRef], *, present: bool = True
) -> StageTask[ModelRef]:
    return StageTask("register", {"checkpoint": "c"}, ModelRef, work, lambda _: present)


def refuse(_: StageRun) -> ModelRef:
    raise AssertionError("a result that is there was made again")


@pytest.mark.parametrize("bad", ["", "../x", "a/b", ".hidden", "x" * 64, "a\n"])
def test_a_run_id_that_is_no_part_of_a_key_is_refused(bad: str) -> None:
    with pytest.raises(ConfigError):
        checked_run_id(bad)


def test_drawn_run_ids_differ_and_pass() -> None:
    drawn = {checked_run_id(new_run_id()) for _ in range(20)}
    assert len(drawn) == 20


def test_a_run_has_one_owner_at_a_time(store: ObjectStore) -> None:
    with (
        hold_lease(store, "r"),
        pytest.raises(LeaseHeldError, match="run r"),
        hold_lease(store, "r"),
    ):
        pass
    with hold_lease(store, "r"):
        pass


def test_of_many_starts_at_once_one_owns_the_run(store: ObjectStore) -> None:
    owners, refused = [], []
    start, end = threading.Barrier(8), threading.Barrier(8)

    def contend(name: int) -> None:
        start.wait()
        try:
            with hold_lease(store, "r"):
                owners.append(name)
                end.wait()
        except LeaseHeldError:
            refused.append(name)
            end.wait()

    threads = [threading.Thread(target=contend, args=(name,)) for name in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(owners), len(refused)) == (1, 7)


def test_a_lease_whose_owner_died_here_is_taken_over(store: ObjectStore) -> None:
    dead = subprocess.Popen(["true"])
    dead.wait()
    claim = {"token": "t", "host": socket.gethostname(), "pid": dead.pid, "expires_at": 9e12}
    store.put("runs/r/lease", json.dumps(claim).encode())
    with hold_lease(store, "r") as lease:
        assert lease.token != "t"


def test_a_beat_whose_answer_was_lost_does_not_cost_the_lease(tmp_path: Path) -> None:
    class Unanswering(LocalStore):
        silent = False

        def put_if_match(self, key: str, data: bytes, etag: str) -> str:
            stored = super().put_if_match(key, data, etag)
            if self.silent:
                raise StorageError("no answer came")
            return stored

    store = Unanswering(tmp_path)
    with hold_lease(store, "r") as lease:
        store.silent = True
        with pytest.raises(StorageError, match="no answer"):
            lease._write(expires_at=9e12)
        store.silent = False
        lease._write(expires_at=9e12)
        lease.check()
        assert json.loads(store.get("runs/r/lease").data)["token"] == lease.token
    with hold_lease(store, "r") as taken, pytest.raises(PreconditionFailedError):
        lease._write(expires_at=9e12)
    assert taken.token != lease.token


def test_an_owner_that_lost_its_lease_cannot_move_the_pointer(store: ObjectStore) -> None:
    take_pointer(store, "r", "old")
    stale = RunPointer(store, "r", "old")
    stale.commit(Committed("runs/r/checkpoints/1", 1, "a"), keep=3)
    take_pointer(store, "r", "new")
    owner = RunPointer(store, "r", "new")
    with pytest.raises(LeaseHeldError):
        stale.commit(Committed("runs/r/checkpoints/2-stale", 2, "b"), keep=3)
    owner.commit(Committed("runs/r/checkpoints/2", 2, "c"), keep=3)
    prefixes = [one.prefix for one in committed_checkpoints(store, "r")]
    assert prefixes == ["runs/r/checkpoints/1", "runs/r/checkpoints/2"]


def test_an_owner_that_lost_its_lease_before_its_first_commit_cannot_take_the_pointer_back(
    store: ObjectStore,
) -> None:
    take_pointer(store, "r", "old")
    take_pointer(store, "r", "new")
    with pytest.raises(LeaseHeldError, match="another owner of run r"):
        RunPointer(store, "r", "old")
    RunPointer(store, "r", "new").commit(Committed("runs/r/checkpoints/1", 1, "a"), keep=3)
    assert [one.clips_seen for one in committed_checkpoints(store, "r")] == [1]


def test_the_pointer_keeps_the_newest_and_hands_back_the_rest(store: ObjectStore) -> None:
    take_pointer(store, "r", "t")
    pointer = RunPointer(store, "r", "t")
    dropped = [
        one.clips_seen
        for clips in (10, 20, 30, 40)
        for one in pointer.commit(Committed(f"p{clips}", clips, "s"), keep=2)
    ]
    assert dropped == [10, 20]
    assert [one.clips_seen for one in committed_checkpoints(store, "r")] == [30, 40]


def test_a_key_depends_on_stage_config_and_inputs() -> None:
    base = stage_key("train", {"a": 1}, {"snapshot": "s"})
    assert base == stage_key("train", {"a": 1}, {"snapshot": "s"})
    others = {
        stage_key("evaluate", {"a": 1}, {"snapshot": "s"}),
        stage_key("train", {"a": 2}, {"snapshot": "s"}),
        stage_key("train", {"a": 1}, {"snapshot": "t"}),
    }
    assert len(others | {base}) == 4


def test_a_record_names_every_run_that_began_the_key(store: ObjectStore) -> None:
    begin(store, "k", "first")
    begin(store, "k", "second")
    record = begin(store, "k", "first")
    assert (record.runs, record.done) == (("second", "first"), False)
    finish(store, "k", "first")
    found = read_record(store, "k")
    assert found is not None
    assert (found.holder, found.done) == ("first", True)


def test_a_finished_stage_is_linked_into_another_run(store: ObjectStore) -> None:
    config = RunConfig()
    run_stage(RunHandle(store, "first"), config, register_task(lambda _: MODEL))
    linked = run_stage(RunHandle(store, "second"), config, register_task(refuse))
    assert linked.artifact == MODEL
    assert (linked.result.run_id, linked.result.reused_from) == ("second", "first")
    third = run_stage(RunHandle(store, "third"), config, register_task(refuse))
    assert third.result.reused_from == "first"
    again = run_stage(RunHandle(store, "second"), config, register_task(refuse))
    assert again.artifact == MODEL


def test_a_result_whose_things_are_gone_is_made_again(store: ObjectStore) -> None:
    config, made = RunConfig(), []

    def work(run: StageRun) -> ModelRef:
        made.append(run.handle.run_id)
        return MODEL

    run_stage(RunHandle(store, "first"), config, register_task(work))
    run_stage(RunHandle(store, "second"), config, register_task(work, present=False))
    run_stage(RunHandle(store, "third"), config, register_task(work), force=True)
    assert made == ["first", "second", "third"]


def test_work_that_fails_leaves_no_result_and_the_next_run_learns_of_it(
    store: ObjectStore,
) -> None:
    config = RunConfig()

    def interrupted(_: StageRun) -> ModelRef:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_stage(RunHandle(store, "first"), config, register_task(interrupted))
    assert find_result(RunHandle(store, "second"), config, register_task(refuse)) is None
    seen: list[tuple[str, ...]] = []

    def work(run: StageRun) -> ModelRef:
        seen.append(run.unfinished)
        return MODEL

    run_stage(RunHandle(store, "second"), config, register_task(work))
    assert seen == [("second", "first")]


def test_one_run_holds_results_of_one_config(store: ObjectStore) -> None:
    task = register_task(lambda _: MODEL)
    run_stage(RunHandle(store, "r"), RunConfig(), task)
    other = load_config("demo")
    with pytest.raises(ConfigError, match="another --run-id"):
        run_stage(RunHandle(store, "r"), other, task)
    run_stage(RunHandle(store, "r"), other, task, force=True)


def test_a_damaged_result_is_named(store: ObjectStore) -> None:
    store.put("runs/r/evaluate.json", b'{"stage": 3')
    with pytest.raises(CorruptObjectError, match=r"runs/r/evaluate\.json"):
        RunHandle(store, "r").read("evaluate")


def test_a_kept_config_holds_no_password(store: ObjectStore) -> None:
    uri = "postgresql://ana:s3cr3t@db:5432/mlflow"
    config = load_config("demo", [f"execution.tracking_uri={uri}"])
    RunHandle(store, "r").write_config(to_yaml(config))
    kept = store.get("runs/r/config.yaml").data.decode()
    assert "postgresql://db:5432/mlflow" in kept
    assert "s3cr3t" not in kept
    assert "ana" not in kept
