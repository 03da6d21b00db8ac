"""How one service is started, found again after a crash, and ended."""

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

from videogen.config.settings import Settings
from videogen.errors import ServiceError
from videogen.execution.uninterrupted import uninterrupted
from videogen.progress import Progress, ProgressEvent, silent
from videogen.stack import ports, processes, state
from videogen.stack.service import Service, log_of, marker_of
from videogen.stack.state import ServiceRecord

_PORT_ATTEMPTS = 5
_POLL_S = 0.1
_IN_USE = "already in use"
_RECOVERY_S = 5.0


def start(
    service: Service,
    settings: Settings,
    progress: Progress = silent,
    *,
    keep: bool = True,
    given_up: threading.Event | None = None,
) -> tuple[ServiceRecord, bool]:
    """Start a service unless it runs and answers; its record, and whether it was started now.

    What a crash left of it is ended first. A service that is not to `keep` ends with the last
    command that borrowed it. Setting `given_up` ends the wait. Raises `ServiceError` with the end
    of the log; what was started is stopped then.
    """
    with state.locked(settings.state_dir, service.name):
        known = state.load(settings.state_dir).services.get(service.name)
        if known is not None and _recovers(service, known):
            if keep and not known.kept:
                known = replace(known, kept=True)
                state.remember(settings.state_dir, service.name, known)
            return known, False
        _end(service, settings, known)
        began = time.monotonic()
        progress(ProgressEvent("stack", message=f"starting {service.name}"))
        start = _Start(service, settings, keep=keep, given_up=given_up or threading.Event())
        with service.starting(settings):
            record = start.run(known.ports if known is not None else {})
        seconds = round(time.monotonic() - began, 1)
        message = f"{service.name} answers at {service.address(record.ports)} after {seconds} s"
        progress(ProgressEvent("stack", message=message, values={"seconds": seconds}))
        return record, True


def stop(service: Service, settings: Settings) -> int:
    """End a service and all it started; how many processes ended. Ports stay remembered."""
    with state.locked(settings.state_dir, service.name):
        known = state.load(settings.state_dir).services.get(service.name)
        return _end(service, settings, known)


def stop_unless_kept(service: Service, settings: Settings) -> None:
    """End a service that no `start` asked to keep."""
    with state.locked(settings.state_dir, service.name):
        known = state.load(settings.state_dir).services.get(service.name)
        if known is not None and not known.kept:
            _end(service, settings, known)


def runs(record: ServiceRecord | None) -> bool:
    """Whether the recorded process lives."""
    return record is not None and record.process is not None and processes.is_alive(record.process)


def _recovers(service: Service, known: ServiceRecord) -> bool:
    """Whether a known service runs and answers, perhaps after a moment."""
    deadline = time.monotonic() + _RECOVERY_S
    while runs(known):
        if service.answers(known.ports):
            return True
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_S)
    return False


def _end(service: Service, settings: Settings, known: ServiceRecord | None) -> int:
    with uninterrupted():
        ended = processes.stop(
            marker_of(settings, service.name),
            known.process if known is not None else None,
            grace_s=service.stop_grace_s,
        )
        service.clean_up(settings, known.ports if known is not None else {})
        if known is not None and known.process is not None:
            state.remember(settings.state_dir, service.name, ServiceRecord(known.ports))
    return ended


@dataclass(frozen=True)
class _Start:
    """One start of a service, while its lock is held."""

    service: Service
    settings: Settings
    keep: bool
    given_up: threading.Event

    def run(self, remembered: Mapping[str, int]) -> ServiceRecord:
        """Start on free ports; on others again where a program took one in between."""
        avoided: set[int] = set()
        for _ in range(_PORT_ATTEMPTS):
            chosen = ports.choose(self.service.usual_ports, remembered=remembered, avoided=avoided)
            avoided.update(chosen.values())
            record = ServiceRecord(chosen, kept=self.keep)
            answers = False
            try:
                record = self._spawn(chosen)
                state.remember(self.settings.state_dir, self.service.name, record)
                answers = self._await_answer(record)
            finally:
                if not answers:
                    _end(self.service, self.settings, record)
            if answers:
                return record
        raise ServiceError(
            f"{self.service.name} found its ports taken {_PORT_ATTEMPTS} times in a row: "
            "another program takes ports as fast; end it, then try again"
        )

    def _spawn(self, chosen: dict[str, int]) -> ServiceRecord:
        launch = self.service.launch(self.settings, chosen)
        process = processes.spawn(
            launch.command,
            environment=launch.environment,
            marker=marker_of(self.settings, self.service.name),
            log=log_of(self.settings, self.service.name),
        )
        return ServiceRecord(chosen, process, kept=self.keep)

    def _await_answer(self, record: ServiceRecord) -> bool:
        """Wait for the service's own answer; False where another program took one of its ports."""
        timeout_s = self.service.start_timeout_s
        deadline = time.monotonic() + timeout_s
        needed = {record.ports[role] for role in self.service.needed_roles}
        others: set[int] = set()
        while runs(record):
            if needed <= self._own_ports(record) and self.service.answers(record.ports):
                self.service.settle(self.settings, record.ports)
                return True
            before, others = others, self._held_by_others(record)
            if before & others:  # seen twice: one of ours may be bound and not yet listen
                return False
            if time.monotonic() > deadline:
                raise self._failure(f"did not answer within {timeout_s:.0f} s")
            if self.given_up.wait(_POLL_S):
                raise ServiceError(f"{self.service.name} was stopped before it answered")
        log = log_of(self.settings, self.service.name)
        if self._held_by_others(record) or _IN_USE in processes.tail(log).lower():
            return False
        raise self._failure("ended before it answered")

    def _held_by_others(self, record: ServiceRecord) -> set[int]:
        """Ports of the record that are held, and not by what there is of the service."""
        held = {one for port in record.ports.values() for one in ports.taken(port)}
        return held - self._own_ports(record)  # asked last: the service binds meanwhile

    def _own_ports(self, record: ServiceRecord) -> set[int]:
        marker = marker_of(self.settings, self.service.name)
        return set() if record.process is None else processes.listening(marker, record.process)

    def _failure(self, what: str) -> ServiceError:
        log = log_of(self.settings, self.service.name)
        return ServiceError(
            f"{self.service.name} {what}; its log, {log}, ends with: {processes.tail(log)}"
        )
