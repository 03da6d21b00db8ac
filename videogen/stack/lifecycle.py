"""How one service is started, found again after a crash, and ended."""

import shutil
import time
from dataclasses import replace
from pathlib import Path

from videogen.config.settings import Settings
from videogen.errors import ServiceError
from videogen.progress import Progress, ProgressEvent
from videogen.stack import ports, processes, state
from videogen.stack.processes import ProcessRecord
from videogen.stack.service import Service, log_of, marker_of
from videogen.stack.state import ServiceRecord

_PORT_ATTEMPTS = 5
_POLL_S = 0.1
_RECOVERY_S = 5.0


def start(service: Service, settings: Settings, progress: Progress) -> tuple[ServiceRecord, bool]:
    """Start a service unless it runs and answers; its record, and whether it was started now.

    What a crash left of it is ended first. Raises `ServiceError` with the end of the log.
    """
    with state.locked(settings.state_dir, service.name):
        known = state.load(settings.state_dir).services.get(service.name)
        if known is not None and _recovers(service, known):
            return known, False
        _end(service, settings, known)
        began = time.monotonic()
        progress(ProgressEvent("stack", message=f"starting {service.name}"))
        record = _start(service, settings, known)
        seconds = round(time.monotonic() - began, 1)
        message = f"{service.name} answers at {service.address(record.ports)} after {seconds} s"
        progress(ProgressEvent("stack", message=message, values={"seconds": seconds}))
        return record, True


def stop(service: Service, settings: Settings) -> int:
    """End a service and all it started; how many processes ended. Ports stay remembered."""
    with state.locked(settings.state_dir, service.name):
        known = state.load(settings.state_dir).services.get(service.name)
        ended = _end(service, settings, known)
        if known is not None:
            _forget_process(service, settings, known)
        return ended


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


def _start(service: Service, settings: Settings, known: ServiceRecord | None) -> ServiceRecord:
    remembered = known.ports if known is not None else {}
    for _ in range(_PORT_ATTEMPTS):
        chosen = ports.choose(service.usual_ports, remembered=remembered)
        launch = service.launch(settings, chosen)
        process = processes.spawn(
            launch.command,
            environment=launch.environment,
            marker=marker_of(settings, service.name),
            log=log_of(settings, service.name),
        )
        record = ServiceRecord(chosen, process, str(launch.scratch) if launch.scratch else None)
        settled = False
        try:
            state.remember(settings.state_dir, service.name, record)
            settled = _await_answer(service, settings, record)
        finally:
            if not settled:
                _end(service, settings, record)
                _forget_process(service, settings, record)
        if settled:
            return record
    raise ServiceError(
        f"{service.name} found its ports taken {_PORT_ATTEMPTS} times in a row: "
        "another program takes ports as fast; end it, then try again"
    )


def _await_answer(service: Service, settings: Settings, record: ServiceRecord) -> bool:
    """Wait until the service itself answers; False where another program took one of its ports."""
    process = record.process
    assert process is not None  # noqa: S101 - `_start` has just started it
    marker = marker_of(settings, service.name)
    deadline = time.monotonic() + service.start_timeout_s
    while processes.is_alive(process):
        if service.answers(record.ports) and _owns_ports(marker, process, record):
            service.settle(settings, record.ports)
            return True
        if time.monotonic() > deadline:
            raise _did_not_start(service, settings, f"within {service.start_timeout_s:.0f} s")
        time.sleep(_POLL_S)
    if not all(ports.is_free(port) for port in record.ports.values()):
        return False
    raise _did_not_start(service, settings, "but ended at once")


def _owns_ports(marker: str, process: ProcessRecord, record: ServiceRecord) -> bool:
    return processes.listens(marker, process, next(iter(record.ports.values())))


def _did_not_start(service: Service, settings: Settings, when: str) -> ServiceError:
    log = log_of(settings, service.name)
    return ServiceError(
        f"{service.name} did not answer {when}: its log, {log}, ends with\n{processes.tail(log)}"
    )


def _end(service: Service, settings: Settings, known: ServiceRecord | None) -> int:
    ended = processes.stop(
        marker_of(settings, service.name),
        known.process if known is not None else None,
        grace_s=service.stop_grace_s,
    )
    service.clean_up(known.ports if known is not None else {})
    if known is not None and known.scratch is not None:
        shutil.rmtree(Path(known.scratch), ignore_errors=True)
    return ended


def _forget_process(service: Service, settings: Settings, record: ServiceRecord) -> None:
    state.remember(settings.state_dir, service.name, replace(record, process=None, scratch=None))
