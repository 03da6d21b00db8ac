"""`videogen run`: all four stages through the Prefect flow, which runs as a process of its own."""

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import typer

from videogen.cli.dry_run import print_plan
from videogen.cli.options import (
    ConfigArgument,
    DryRunOption,
    ForceOption,
    JsonOption,
    ProgressOption,
    RunIdOption,
    SetOption,
)
from videogen.cli.render import say, shown, style_of
from videogen.cli.services import connect
from videogen.cli.stage_tasks import Stages
from videogen.cli.summary import run_summary
from videogen.config.loading import to_yaml
from videogen.config.run import STAGES, RunConfig
from videogen.config.settings import Settings, child_environment
from videogen.errors import ConfigError, StageFailedError
from videogen.execution.lifeline import lifeline_environment
from videogen.presets import load_config
from videogen.progress import Progress, ProgressEvent
from videogen.runs.handle import RunHandle, checked_run_id, new_run_id
from videogen.stack.state import write_privately

commands = typer.Typer()

_GRACE_S = 90.0
"""How long the flow may take to cancel its stage and tell the Prefect server."""


@commands.command()
def run(  # noqa: PLR0913 - the options of a command
    config: ConfigArgument,
    overrides: SetOption = None,
    run_id: RunIdOption = None,
    as_json: JsonOption = False,
    force: ForceOption = False,
    dry_run: DryRunOption = False,
    progress: ProgressOption = "auto",
) -> None:
    """Raw video to a registered generator: ingest, train, evaluate, register.

    What was done before for the same config and data is reused; an interrupted run goes on.

    Example: videogen run demo --set ingest.sources=[DIR] --set name=mine
    """
    loaded = load_config(config, overrides or ())
    settings = Settings.from_environment()
    drawn = checked_run_id(run_id) if run_id else new_run_id()
    with (
        shown(style_of(progress)) as report,
        connect(loaded, settings, report) as services,
    ):
        if dry_run:
            stages = Stages(loaded, services, RunHandle(services.store, drawn), report)
            print_plan(stages, STAGES, as_json=as_json)
            return
        with _orchestration(loaded, settings, report) as environment:
            arguments = ["--run-id", drawn, *(["--force"] if force else [])]
            document = _run_flow(
                _config_file(loaded, settings, drawn), arguments, environment, report
            )
    if as_json:
        print(json.dumps(document))
    say(run_summary({**document, "links": _still_open(document["links"], settings)}))


def _still_open(links: dict[str, str], settings: Settings) -> dict[str, str]:
    """The pages that outlive this command: a Ray of its own has ended by now."""
    from videogen.stack import embedded

    ray = next(one for one in embedded.status(settings) if one.name == "ray")
    return {name: page for name, page in links.items() if "Ray" not in name or ray.page == page}


@contextmanager
def _orchestration(
    config: RunConfig, settings: Settings, progress: Progress
) -> Iterator[dict[str, str | None]]:
    """A Prefect server and a Ray head for the length of the block, where none is configured."""
    from videogen.stack import embedded

    with ExitStack() as borrowed:
        if config.execution.ray_address is None and settings.ray_address is None:
            borrowed.enter_context(embedded.borrow_ray(settings, progress))
        if settings.prefect_api_url is None:
            borrowed.enter_context(embedded.borrow_prefect(settings, progress))
        yield embedded.environment(settings)


def _config_file(config: RunConfig, settings: Settings, run_id: str) -> Path:
    path = settings.state_dir / "runs" / run_id / "config.yaml"
    write_privately(path, to_yaml(config))
    return path


def _run_flow(
    config: Path,
    arguments: Sequence[str],
    environment: dict[str, str | None],
    progress: Progress,
) -> dict[str, Any]:
    """Run `pipelines.video_gan` to its end; what it prints as JSON.

    What else it says goes to `flow.log` beside the config. Raises `StageFailedError`, or
    `ConfigError`, with its last error line.
    """
    log = config.with_name("flow.log")
    command = [sys.executable, "-m", "pipelines.video_gan", "--config", str(config), *arguments]
    flow = subprocess.Popen(  # noqa: S603 - our own module, arguments as a list
        [*command, "--progress", "jsonl"],
        env=child_environment({**environment, **lifeline_environment()}),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        last_error = _follow(flow, progress, log)
        output = flow.stdout.read() if flow.stdout else ""
        code = flow.wait()
    except BaseException:
        _interrupt(flow)
        raise
    if code == 0:
        document: dict[str, Any] = json.loads(output)
        return document
    message = last_error or f"the flow ended with exit code {code}; its log is {log}"
    raise ConfigError(message) if code == ConfigError.exit_code else StageFailedError(message)


def _follow(flow: "subprocess.Popen[str]", progress: Progress, log: Path) -> str:
    """Hand on progress events until the flow closes its standard error; its last error line."""
    last_error = ""
    with log.open("a", encoding="utf-8") as kept:
        for line in flow.stderr or ():
            event = ProgressEvent.from_line(line.rstrip())
            if event is not None:
                progress(event)
                continue
            kept.write(line)
            if line.startswith("error: "):
                last_error = line.removeprefix("error: ").rstrip()
    return last_error


def _interrupt(flow: "subprocess.Popen[str]") -> None:
    if flow.poll() is not None:
        return
    say("interrupted: stopping the flow and its stage (what is committed stays) ...")
    flow.send_signal(signal.SIGINT)
    too_late = threading.Timer(_GRACE_S, flow.kill)
    too_late.start()
    for _ in flow.stderr or ():
        pass  # what it still says goes to its log; a full pipe would hold it up
    flow.wait()
    too_late.cancel()
