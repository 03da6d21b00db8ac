"""Between a driver and its Ray workers: progress one way, the wish to end the other."""

from dataclasses import dataclass
from typing import Any, TypeVar

import ray
from ray.exceptions import RayError

from videogen.errors import ServiceError, VideogenError
from videogen.progress import ProgressEvent

T = TypeVar("T")

_SHOWN_CHARACTERS = 200


@dataclass(frozen=True)
class Mailbox:
    """A handle that may travel to workers; the mailbox is a small process of its own."""

    actor: Any
    """Ray's handle, which has the methods of `_MailboxActor` with `.remote` behind them."""

    @classmethod
    def open(cls) -> "Mailbox":
        """Start the process; Ray must be connected."""
        return cls(ray.remote(num_cpus=0)(_MailboxActor).remote())

    def tell(self, event: ProgressEvent) -> "ray.ObjectRef[bool]":
        """Send an event, without waiting; the answer is whether to stop."""
        answer: ray.ObjectRef[bool] = self.actor.tell.remote(event)
        return answer

    def take(self) -> list[ProgressEvent]:
        """The events since the last call."""
        return _wait_for(self.actor.take.remote())

    def stop(self) -> None:
        """Let the workers end when they next look."""
        _wait_for(self.actor.stop.remote())

    def fail(self, error: VideogenError) -> None:
        """Keep the first error that a person can act on."""
        _wait_for(self.actor.fail.remote(error))

    def failure(self) -> VideogenError | None:
        """That error."""
        failure: VideogenError | None = _wait_for(self.actor.failure.remote())
        return failure

    def close(self) -> None:
        """End the process."""
        ray.kill(self.actor)


class MailboxChannel:
    """A worker's end of the mailbox."""

    def __init__(self, mailbox: Mailbox) -> None:
        self._mailbox = mailbox
        self._answer: ray.ObjectRef[bool] | None = None

    def tell(self, event: ProgressEvent) -> None:
        """Send, and leave the answer until it is asked for."""
        self._answer = self._mailbox.tell(event)

    def should_stop(self) -> bool:
        """What the last answer says, where it has arrived."""
        if self._answer is None:
            return False
        done, _ = ray.wait([self._answer], timeout=0)
        return bool(done) and _wait_for(self._answer)


class _MailboxActor:
    """What runs in the mailbox's process."""

    def __init__(self) -> None:
        self._events: list[ProgressEvent] = []
        self._stopping = False
        self._failure: VideogenError | None = None

    def tell(self, event: ProgressEvent) -> bool:
        self._events.append(event)
        return self._stopping

    def take(self) -> list[ProgressEvent]:
        events, self._events = self._events, []
        return events

    def stop(self) -> None:
        self._stopping = True

    def fail(self, error: VideogenError) -> None:
        self._failure = self._failure or error

    def failure(self) -> VideogenError | None:
        return self._failure


def _wait_for(call: "ray.ObjectRef[T]") -> T:
    """The answer. Raises `ServiceError` where the mailbox's process, or all of Ray, is gone."""
    try:
        return ray.get(call)
    except RayError as error:
        reason = " ".join(str(error).split())[:_SHOWN_CHARACTERS]
        raise ServiceError(
            f"Ray lost a process of this run ({type(error).__name__}: {reason}); see whether Ray "
            "still runs (`videogen stack status`); the same command goes on from what is committed"
        ) from error
