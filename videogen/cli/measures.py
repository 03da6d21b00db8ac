"""`videogen fvd`, `videogen weights`."""

import json
from typing import Annotated

import typer

from videogen.cli.options import JsonOption, ProgressOption
from videogen.cli.render import say, shown, style_of
from videogen.config.settings import Settings
from videogen.errors import ConfigError

commands = typer.Typer()
weights = typer.Typer(no_args_is_help=True, help="The weights of evaluators, by pinned hash.")
commands.add_typer(weights, name="weights")

ClipsArgument = Annotated[
    str, typer.Argument(help="a directory of videos, FILE.npy, FILE.npz or FILE.npz:KEY")
]


@commands.command()
def fvd(
    a: ClipsArgument,
    b: ClipsArgument,
    num_frames: Annotated[int | None, typer.Option(min=1, help="frames of each clip")] = None,
    seed: Annotated[int, typer.Option(min=0, help="of windows and of the floor's split")] = 0,
    as_json: JsonOption = False,
    progress: ProgressOption = "auto",
) -> None:
    """Frechet video distance of B from the reference A, with the real-versus-real floor.

    Arrays hold uint8 frames (n t h w c). The floor needs 2 N clips in A, where B has N.

    Example: videogen fvd real/ fake.npz:frames --json
    """
    from videogen.evaluation.pairwise import fvd as compare

    with shown(style_of(progress)) as report:
        comparison = compare(
            a,
            b,
            Settings.from_environment(),
            num_frames=num_frames,
            seed=seed,
            progress=report,
        )
    if as_json:
        print(json.dumps(comparison.document()))
        return
    floor = "none (A has too few clips)" if comparison.floor is None else f"{comparison.floor:.2f}"
    print(f"{comparison.metric} {comparison.value:.2f}   floor {floor}")
    for note in comparison.notes:
        say(f"note: {note}")


@weights.command()
def fetch(
    name: Annotated[str, typer.Argument(help="i3d")], progress: ProgressOption = "auto"
) -> None:
    """Fetch an evaluator's weights, check their hash, and keep them in the cache.

    Example: videogen weights fetch i3d
    """
    if name != "i3d":
        raise ConfigError(f"weights {name!r}: unknown; there is i3d")
    from videogen.evaluation.extractors.weights import fetch_i3d

    with shown(style_of(progress)) as report:
        path = fetch_i3d(Settings.from_environment(), report)
    say(f"weights: {path}")
