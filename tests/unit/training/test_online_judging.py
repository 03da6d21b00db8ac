"""Checkpoints judged beside the training: which, where it is kept, what becomes of failures."""

import json
import threading
from dataclasses import dataclass, field, replace

import pytest
from tiny_training import CONFIG, IDENTITY, Listener, TinyStep, batches, session_of

from videogen.artifacts import EvaluationReport, GeneratorRef, Protocol
from videogen.errors import ConfigError, EvaluationError
from videogen.runs.pointer import best_checkpoint, committed_checkpoints
from videogen.storage.local import LocalStore
from videogen.training.judging import Online
from videogen.training.loop import train
from videogen.training.parallel import Parallel

SCORED = replace(IDENTITY, best_metric="fvd")
PROTOCOL = Protocol(
    name="fvd4_16f",
    extractor="i3d",
    extractor_sha256="0" * 64,
    num_real=4,
    num_fake=4,
    num_frames=16,
    frame_stride=1,
    height=8,
    width=8,
)


@dataclass
class Distance:
    """Judges by how far a checkpoint is from 40 clips; may fail, and may have to be let on."""

    store: LocalStore
    fails_at: int | None = None
    gate: threading.Semaphore | None = None
    """One for each checkpoint that may be judged."""
    asked: list[int] = field(default_factory=list)
    missing: list[int] = field(default_factory=list)
    """Those whose files were gone when their turn came."""
    begun: threading.Event = field(default_factory=threading.Event)
    closed: threading.Event = field(default_factory=threading.Event)

    def __call__(self, generator: GeneratorRef, /) -> EvaluationReport:
        self.asked.append(generator.clips_seen)
        self.begun.set()
        if self.gate is not None:
            while not self.gate.acquire(timeout=0.01):
                if self.closed.is_set():
                    raise EvaluationError("ended")
        if self.store.head(f"{generator.prefix}/MANIFEST.json") is None:
            self.missing.append(generator.clips_seen)
        if generator.clips_seen == self.fails_at:
            raise EvaluationError("NaN in the features")
        return EvaluationReport(
            metrics={"fvd": abs(generator.clips_seen - 40.0), "recall": 0.5},
            yardsticks={"floor": 1.0},
            protocol=PROTOCOL,
            notes=("too few",),
            seconds=2.0,
        )

    def close(self) -> None:
        self.closed.set()


@dataclass
class Impatient(Listener):
    """Lets the judge go on once it is said to be waited for."""

    gate: threading.Semaphore | None = None

    def tell(self, event):
        super().tell(event)
        if event.message.startswith("waiting for"):
            self.gate.release()


class Tracked:
    """Figures by step, as a tracker is told of them."""

    def __init__(self):
        self.figures = {}

    def log_metrics(self, values, step):
        self.figures.setdefault(step, {}).update(values)

    def log_artifact(self, path, artifact_dir=""):
        pass


def _reference(committed):
    return GeneratorRef(
        run_id="tiny",
        prefix=committed.prefix,
        manifest_sha256=committed.manifest_sha256,
        clips_seen=committed.clips_seen,
        num_frames=2,
        height=8,
        width=8,
        fps=8.0,
    )


@dataclass
class Training:
    """A session whose checkpoints are judged."""

    root: object
    judge: Distance
    identity: object = SCORED
    interval_clips: int = 21
    config: object = CONFIG
    listener: Listener = field(default_factory=Listener)
    tracked: Tracked = field(default_factory=Tracked)
    step: TinyStep = field(default_factory=TinyStep)

    def session(self):
        session = session_of(self.root, self.identity, step=self.step, channel=self.listener)
        online = Online(self.judge, _reference, self.interval_clips)
        session.outputs = replace(session.outputs, online=online, open_tracker=lambda: self.tracked)
        return session

    def run(self, *, wait_for_each=False):
        session = self.session()
        hooks = session.hooks
        if wait_for_each:
            hooks = replace(hooks, checkpoint=lambda clips: _judged(session, clips))
        before = session.restore()
        args = (self.config, self.step, batches(before), hooks)
        train(*args, parallel=Parallel(), clips_seen=before)
        session.close()
        return [event.message for event in self.listener.events if event.message]


def _judged(session, clips_seen):
    """Commit a checkpoint, and wait until it is judged where that is due."""
    session._checkpoint(clips_seen)
    while not session._publisher.is_judged(0.01):
        pass


@pytest.fixture
def store(tmp_path):
    return LocalStore(tmp_path / "store")


def _kept(store):
    return [one.clips_seen for one in committed_checkpoints(store, "tiny")]


def test_every_due_checkpoint_is_judged_and_the_lowest_distance_is_kept_as_the_best(
    tmp_path, store
):
    training = Training(tmp_path, Distance(store))
    messages = training.run(wait_for_each=True)
    assert training.judge.asked == [21, 42, 63, 84]
    assert _kept(store) == [42, 63, 84]
    best = best_checkpoint(store, "tiny")
    assert (best.metric, best.checkpoint.clips_seen, best.checkpoint.score) == ("fvd", 42, 2.0)
    assert messages[0] == "checkpoint at 21 clips: fvd4_16f 19 (floor 1), 2 s"
    assert (
        training.tracked.figures[63].items()
        >= {
            "online/fvd": 23.0,
            "online/recall": 0.5,
            "online/yardsticks/floor": 1.0,
            "online/seconds": 2.0,
        }.items()
    )


def test_the_report_lies_beside_the_checkpoint_and_goes_with_it(tmp_path, store):
    Training(tmp_path, Distance(store)).run(wait_for_each=True)
    listed = store.list("runs/tiny/checkpoints/")
    found = sorted(info.key for info in listed if "evaluation" in info.key)
    kept = committed_checkpoints(store, "tiny")
    assert found == [f"{one.prefix}/evaluation.json" for one in kept]
    report = EvaluationReport.model_validate_json(store.get(found[0]).data)
    assert report.metrics["fvd"] == 2.0
    assert (
        "evaluation.json"
        not in json.loads(store.get(f"{kept[0].prefix}/MANIFEST.json").data)["files"]
    )


def test_only_the_first_checkpoint_at_or_after_each_interval_is_judged(tmp_path, store):
    training = Training(tmp_path, Distance(store), IDENTITY, interval_clips=40)
    training.run(wait_for_each=True)
    assert training.judge.asked == [42, 84]
    later = CONFIG.model_copy(update={"total_clips": 147})
    total = replace(IDENTITY, total_clips=147)
    resumed = Training(tmp_path, Distance(store), total, 40, config=later)
    resumed.run(wait_for_each=True)
    assert resumed.judge.asked == [126]  # 84 was before; 120 is the next interval


def test_where_one_is_under_way_only_the_newest_waits_and_all_that_may_be_judged_stay(
    tmp_path, store
):
    one_by_one = Distance(store, gate=threading.Semaphore(0))
    config = CONFIG.model_copy(update={"keep_checkpoints": 1})
    identity = replace(SCORED, keep_checkpoints=1)
    training = Training(tmp_path, one_by_one, identity, config=config)
    session = training.session()
    for clips_seen in (7, 28, 49, 70):
        session._clips_seen = clips_seen
        session.hooks.checkpoint(clips_seen)
        assert clips_seen < 28 or one_by_one.begun.wait(10)
    session._publisher._in_use.result()
    session._publisher._thread.submit(lambda: None).result()  # what that checkpoint gave rise to
    assert _kept(store) == [28, 70]  # the one under way, and the one that waits, which is newest
    one_by_one.gate.release(2)
    while not session._publisher.is_judged(0.01):
        pass
    session.close()
    assert one_by_one.asked == [28, 70]
    assert one_by_one.missing == []
    messages = [event.message for event in training.listener.events]
    assert "checkpoint at 49 clips is not judged: a newer one took its place" in messages
    assert best_checkpoint(store, "tiny").checkpoint.clips_seen == 28
    assert _kept(store) == [28, 70]


def test_a_failure_is_a_line_and_the_training_goes_on(tmp_path, store):
    training = Training(tmp_path, Distance(store, fails_at=42))
    messages = training.run(wait_for_each=True)
    assert "checkpoint at 42 clips is not judged: NaN in the features" in messages
    assert best_checkpoint(store, "tiny").checkpoint.clips_seen == 21
    assert _kept(store) == [21, 63, 84]


def test_where_the_figure_that_decides_could_not_be_had_it_is_said_and_there_is_no_best(
    tmp_path, store
):
    identity = replace(IDENTITY, best_metric="kvd")
    messages = Training(tmp_path, Distance(store), identity).run(wait_for_each=True)
    said = "checkpoint at 84 clips cannot be the best, its kvd is not known: too few"
    assert said in messages
    assert best_checkpoint(store, "tiny") is None


def test_an_end_that_is_asked_for_drops_what_is_under_way(tmp_path, store):
    never = Distance(store, gate=threading.Semaphore(0))
    training = Training(tmp_path, never, interval_clips=7, listener=Listener(stop_after=4))
    messages = training.run()
    assert never.closed.is_set()
    assert not any("fvd4" in message for message in messages)
    assert _kept(store)[-1] < 84


def test_at_the_end_it_waits_with_a_line_for_what_decides_which_is_best(tmp_path, store):
    slow = Distance(store, gate=threading.Semaphore(0))
    listener = Impatient(gate=slow.gate)
    training = Training(tmp_path, slow, interval_clips=1_000, listener=listener)
    messages = training.run()
    assert "waiting for the evaluation" in messages[0]
    assert messages[1].startswith("checkpoint at 84 clips: fvd4_16f 44")
    assert best_checkpoint(store, "tiny").checkpoint.score == 44.0


def test_an_end_while_it_waits_at_the_end_is_heard(tmp_path, store):
    never = Distance(store, gate=threading.Semaphore(0))
    training = Training(tmp_path, never, listener=Listener(stop_after=9))
    messages = training.run()
    assert messages[-1] == "the evaluation that is under way is dropped"
    assert never.closed.is_set()
    assert _kept(store)[-1] == 84


def test_a_figure_of_evaluations_without_any_is_refused_as_one_that_is_never_reported(tmp_path):
    session = session_of(tmp_path, SCORED)
    with pytest.raises(ConfigError, match=r"best_metric is 'fvd'.*never reported.*loss"):
        session.hooks.report({"loss": 1.0}, 14)
