"""`videogen samples`, `videogen generate`."""

import json
from pathlib import Path
from typing import Annotated, Literal, get_args

import typer

from videogen.cli.options import JsonOption, ProgressOption
from videogen.cli.render import say, shown, style_of
from videogen.cli.services import connect
from videogen.config.run import RunConfig
from videogen.config.sections import ExecutionConfig
from videogen.config.settings import Settings
from videogen.errors import ConfigError

Format = Literal["mp4", "gif", "webp", "png", "sheet"]
FORMATS: tuple[Format, ...] = get_args(Format)

commands = typer.Typer()


@commands.command()
def samples(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="where the mp4s go")],
    num_videos: Annotated[int, typer.Option(min=1, max=100_000)] = 64,
    seed: Annotated[int, typer.Option(min=0, help="video i depends on seed + i alone")] = 0,
    progress: ProgressOption = "auto",
) -> None:
    """Write synthetic mp4s: large coloured shapes that move over plain backgrounds.

    Example: videogen samples .videogen/samples --num-videos 192
    """
    from videogen.data.video.synthetic import write_samples

    with shown(style_of(progress)) as report:
        written = write_samples(directory, num_videos, seed, report)
    say(f"samples: {len(written)} videos in {directory}")


@commands.command()
def generate(  # noqa: PLR0913 - the options of a command
    model: Annotated[
        str, typer.Option(help="models:/NAME@champion, models:/NAME/3 or a directory")
    ],
    num_videos: Annotated[int, typer.Option("-n", "--num-videos", min=1, max=100_000)] = 16,
    seed: Annotated[int, typer.Option(min=0, help="video i depends on seed + i alone")] = 0,
    num_frames: Annotated[
        int | None, typer.Option(min=1, max=4096, help="by default as trained")
    ] = None,
    truncation: Annotated[
        float, typer.Option(min=0, max=1.5, help="below 1: less varied, more typical")
    ] = 1.0,
    fps: Annotated[
        float | None, typer.Option(min=0.1, max=240, help="by default as trained")
    ] = None,
    out: Annotated[Path, typer.Option(help="directory for the files")] = Path("generated"),
    format_: Annotated[str, typer.Option("--format", help=", ".join(FORMATS))] = "mp4",
    as_json: JsonOption = False,
    progress: ProgressOption = "auto",
) -> None:
    """Draw videos from a registered generator, or from a directory that holds one.

    Example: videogen generate --model models:/demo@champion -n 16 --out DIR --format mp4
    """
    chosen = next((one for one in FORMATS if one == format_), None)
    if chosen is None:
        raise ConfigError(f"--format {format_!r}: choose one of {', '.join(FORMATS)}")
    from videogen.registry.loading import GenerationRequest, generate_files

    request = GenerationRequest(
        model=model,
        num_videos=num_videos,
        seed=seed,
        num_frames=num_frames,
        truncation=truncation,
        fps=fps,
        out=out,
        format=chosen,
    )
    with shown(style_of(progress)) as report:
        if Path(model).is_dir():
            files = generate_files(request, tracking_uri=None, progress=report)
        else:
            config = RunConfig(execution=ExecutionConfig(num_workers=1))
            with connect(config, Settings.from_environment(), report) as services:
                files = generate_files(request, tracking_uri=services.tracking_uri, progress=report)
    if as_json:
        print(json.dumps({"model": model, "seed": seed, "files": [str(one) for one in files]}))
    else:
        say(f"generate: {len(files)} files in {out}, for instance {files[0]}")
