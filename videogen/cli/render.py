"""Shows progress: a bar on a terminal, plain lines elsewhere, JSON lines for programs."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Literal, cast, get_args

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import (
    Progress as RichProgress,
)
from rich.table import Column

from videogen.errors import ConfigError
from videogen.progress import Progress, ProgressEvent

ProgressStyle = Literal["auto", "bar", "plain", "jsonl"]

_PLAIN_INTERVAL_S = 5.0


@contextmanager
def shown(style: ProgressStyle) -> Iterator[Progress]:
    """A progress callable that draws on standard error for the length of the block."""
    if style == "auto":
        style = "bar" if sys.stderr.isatty() else "plain"
    match style:
        case "bar":
            with _Bars() as bars:
                yield bars
        case "plain":
            yield _Plain()
        case "jsonl":
            yield _write_json_line


def style_of(option: str) -> ProgressStyle:
    """The style that `--progress` names. Raises `ConfigError`."""
    if option not in get_args(ProgressStyle):
        raise ConfigError(
            f"--progress {option!r}: choose one of {', '.join(get_args(ProgressStyle))}"
        )
    return cast(ProgressStyle, option)


def say(message: str) -> None:
    """One line for people, on standard error."""
    print(message, file=sys.stderr, flush=True)


def _write_json_line(event: ProgressEvent) -> None:
    print(event.to_json(), file=sys.stderr, flush=True)


def _figures(event: ProgressEvent) -> str:
    values = "  ".join(f"{name} {value:,.4g}" for name, value in event.values.items())
    return "  ".join(part for part in (event.message, values) if part)


class _Plain:
    """Lines at an interval, and always the last of a stage and every new note without a count."""

    def __init__(self) -> None:
        self._shown_at: dict[str, float] = {}
        self._message: dict[str, str] = {}

    def __call__(self, event: ProgressEvent) -> None:
        now = monotonic()
        is_last = event.total is not None and event.done >= event.total
        is_note = event.total is None and event.message != self._message.get(event.stage, "")
        due = now - self._shown_at.get(event.stage, -_PLAIN_INTERVAL_S) >= _PLAIN_INTERVAL_S
        if not (is_last or is_note or due):
            return
        self._shown_at[event.stage] = now
        self._message[event.stage] = event.message
        of = "" if event.total is None else f"/{event.total:,.0f}"
        count = f"{event.done:,.0f}{of} {event.unit}".strip() if event.unit else ""
        line = "  ".join(part for part in (count, _figures(event)) if part)
        say(f"{event.stage}: {line}")


class _Bars:
    """One bar a stage."""

    def __init__(self) -> None:
        self._bars = RichProgress(
            TextColumn("{task.description:<9}"),
            BarColumn(bar_width=28),
            MofNCompleteColumn(),
            TextColumn("{task.fields[unit]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn(
                "{task.fields[figures]}",
                markup=False,
                table_column=Column(no_wrap=True, overflow="ellipsis"),
            ),
            console=Console(stderr=True),
        )
        self._tasks: dict[str, TaskID] = {}
        self._message: dict[str, str] = {}

    def __enter__(self) -> "_Bars":
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def __call__(self, event: ProgressEvent) -> None:
        is_first = event.stage not in self._tasks
        is_note = event.total is None and event.message != self._message.get(event.stage, "")
        if event.message and (is_first or is_note):  # what was decided, or found out, stays there
            self._bars.console.print(f"{event.stage}: {event.message}", markup=False)
        self._message[event.stage] = event.message
        if is_first:
            self._tasks[event.stage] = self._bars.add_task(
                event.stage, total=event.total, unit=event.unit, figures=""
            )
        self._bars.update(
            self._tasks[event.stage],
            completed=event.done,
            total=event.total,
            unit=event.unit,
            figures=_figures(event),
        )
