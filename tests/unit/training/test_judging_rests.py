"""How much of the time a judge is at work beside a training."""

import threading
import time

import pytest

from videogen.artifacts import EvaluationReport, GeneratorRef
from videogen.errors import EvaluationError
from videogen.runs.pointer import Committed
from videogen.training.judging import Judging, Online

TAKES_S = 0.3


class Slow:
    """Takes its time, and notes when."""

    def __init__(self):
        self.times = []
        self.begun = threading.Event()

    def __call__(self, generator: GeneratorRef, /) -> EvaluationReport:
        began = time.monotonic()
        self.begun.set()
        time.sleep(TAKES_S)
        self.times.append((began, time.monotonic()))
        raise EvaluationError("enough")

    def close(self) -> None:
        pass


@pytest.mark.parametrize(("training_ends", "rests"), [(False, True), (True, False)])
def test_a_judge_rests_as_long_as_it_worked_until_training_ends(training_ends, rests):
    judge, settled = Slow(), []
    judging = Judging(Online(judge, lambda _: None, 1), settled.append)
    judging.offer(Committed("first", 8, "0" * 64))
    assert judge.begun.wait(5)
    judging.offer(Committed("second", 16, "0" * 64))
    if training_ends:
        assert judging.is_done(10)
    deadline = time.monotonic() + 10
    while len(settled) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    judging.close()
    (_, first_ended), (second_began, _) = judge.times
    assert (second_began - first_ended >= 0.9 * TAKES_S) == rests
