"""`videogen fvd`, `videogen weights`."""

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from videogen.cli.options import JsonOption, ProgressOption
from videogen.cli.render import say, shown, style_of
from videogen.config.settings import Settings
from videogen.errors import ConfigError

if TYPE_CHECKING:
    from videogen.evaluation.metrics.frechet import Covariance
    from videogen.evaluation.pairwise import PairProtocol

commands = typer.Typer()
weights = typer.Typer(no_args_is_help=True, help="The weights of evaluators, by pinned hash.")
commands.add_typer(weights, name="weights")

ClipsArgument = Annotated[
    str, typer.Argument(help="a directory of videos, FILE.npy, FILE.npz or FILE.npz:KEY")
]


@commands.command()
def fvd(  # noqa: PLR0913 - the options of a command
    a: ClipsArgument,
    b: ClipsArgument,
    protocol: Annotated[
        str | None,
        typer.Option(help="fvd2048_128f_subsample8f: clips a side, frames, every how many one"),
    ] = None,
    num_frames: Annotated[int | None, typer.Option(min=1, help="frames of each clip")] = None,
    stride: Annotated[int | None, typer.Option(min=1, help="take every so many frames one")] = None,
    covariance: Annotated[str, typer.Option(help="divisor: n-1, or n as NVIDIA's")] = "n-1",
    seed: Annotated[int, typer.Option(min=0, help="of which clips, and of the floor's")] = 0,
    as_json: JsonOption = False,
    progress: ProgressOption = "auto",
) -> None:
    """Frechet video distance of B from the reference A, with the real-versus-real floor.

    Arrays hold uint8 frames (n t h w c); they and directories are read a few clips at a time. Of
    each clip the first frames count. The floor needs 2 N clips in A, where B has N.

    Examples: `videogen fvd real/ fake.npz:frames --json`,
    `videogen fvd real.npy fake/ --protocol fvd2048_16f`
    """
    from videogen.evaluation.pairwise import fvd as compare

    asked = _asked(protocol, num_frames, stride, _one_of(covariance))
    with shown(style_of(progress)) as report:
        comparison = compare(a, b, Settings.from_environment(), replace(asked, seed=seed), report)
    if as_json:
        print(json.dumps(comparison.document()))
        return
    floor = "none (A has too few clips)" if comparison.floor is None else f"{comparison.floor:.2f}"
    low, high = comparison.interval
    print(
        f"{comparison.metric} {comparison.value:.2f}   95 %: {low:.2f} to {high:.2f}   "
        f"floor {floor}"
    )
    for note in comparison.notes:
        say(f"note: {note}")


def _asked(
    protocol: str | None, num_frames: int | None, stride: int | None, covariance: "Covariance"
) -> "PairProtocol":
    from videogen.evaluation.pairwise import PairProtocol
    from videogen.evaluation.protocol_name import ProtocolName

    if protocol is None:
        return PairProtocol(None, num_frames, stride or 1, covariance=covariance)
    if num_frames is not None or stride is not None:
        raise ConfigError(
            f"--protocol {protocol} says which frames count: leave --num-frames and --stride out"
        )
    named = ProtocolName.parse(protocol)
    return PairProtocol(named.num_clips, named.num_frames, named.stride, covariance=covariance)


def _one_of(covariance: str) -> "Covariance":
    if covariance not in ("n-1", "n"):
        raise ConfigError(f"--covariance {covariance!r}: choose one of n-1, n")
    return "n" if covariance == "n" else "n-1"


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
