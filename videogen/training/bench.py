"""`python -m videogen.training.bench`: the bare training core, timed on whatever machine this is.

Runs with torch, numpy, pydantic, einops and jaxtyping alone: no Ray, no S3, no MLflow, no video
libraries. Training steps on random clips in memory; a table on standard output, or JSON.

Example: python -m videogen.training.bench --model r3gan-v --size 64 --batch 32 --seconds 30
"""

import argparse
import json
import math
import platform
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from pydantic import ValidationError

from videogen.config.train import TrainConfig
from videogen.errors import ConfigError, VideogenError
from videogen.training.bare import BareCore, BareFigures

_MIB = 1 << 20
_GIGA = 1e9
_RECIPES: dict[str, dict[str, Any]] = {
    "r3gan-v": {},
    "dcgan": {"loss": "bce", "gamma": 0.0},
    "mocogan": {"loss": "bce", "gamma": 0.0, "frame_stride": 2},
}
"""What of each model's preset decides what a step costs; the rest is the config's default."""


@dataclass(frozen=True)
class BenchRequest:
    """What to time."""

    config: TrainConfig
    size: int
    device: torch.device
    seconds: float
    micro_batch_clips: int | None = None


def bench(request: BenchRequest) -> BareFigures:
    """Time it in this process. Raises `ConfigError` where the model makes no such frames."""
    core = BareCore(
        request.config,
        request.size,
        request.device,
        micro_batch_clips=request.micro_batch_clips,
        warn=lambda message: print(f"warning: {message}", file=sys.stderr),
    )
    return core.measure(request.seconds)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; its exit code."""
    options = _parser().parse_args(arguments)
    try:
        request = _request(options)
        if options.threads is not None:
            torch.set_num_threads(options.threads)
        figures = bench(request)
    except VideogenError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    machine = _machine(request.device)
    if options.json:
        asked = {"size": request.size, "train": request.config.model_dump(mode="json")}
        print(json.dumps({"figures": asdict(figures), "machine": machine, **asked}))
    else:
        print("\n".join(_lines(request, figures, machine)))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m videogen.training.bench",
        description="Times training steps on random clips in memory: the core, and nothing else.",
    )
    parser.add_argument("--model", choices=sorted(_RECIPES), default="r3gan-v")
    parser.add_argument("--size", type=int, default=64, help="pixels a side")
    parser.add_argument("--frames", type=int, default=16, help="of a clip")
    parser.add_argument("--batch", type=int, default=16, help="clips a step")
    parser.add_argument("--micro-batch", type=int, help="clips at once; by default all of a step")
    parser.add_argument("--seconds", type=float, default=10.0, help="how long to measure")
    parser.add_argument("--precision", choices=("auto", "fp32", "bf16"), default="auto")
    parser.add_argument("--compile", choices=("auto", "on", "off"), default="auto")
    parser.add_argument("--device", help="cpu, cuda, cuda:1, …; by default a GPU if there is one")
    parser.add_argument("--threads", type=int, help="of this process; by default as torch chooses")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    return parser


def _request(options: argparse.Namespace) -> BenchRequest:
    """Raises `ConfigError` for values that cannot be."""
    try:
        device = torch.device(options.device or ("cuda" if torch.cuda.is_available() else "cpu"))
        config = TrainConfig.model_validate(
            {
                "model": {"kind": options.model},
                "num_frames": options.frames,
                "global_batch_size": options.batch,
                "precision": options.precision,
                "compile": options.compile,
                "total_clips": max(100_000, options.batch),
                **_RECIPES[options.model],
            }
        )
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise ConfigError(f"{place}: {first['msg']}, and not {first['input']!r}") from error
    except RuntimeError as error:
        raise ConfigError(f"--device {options.device!r}: {_first_line(error)}") from error
    _check(options, device)
    return BenchRequest(config, options.size, device, options.seconds, options.micro_batch)


def _check(options: argparse.Namespace, device: torch.device) -> None:
    for name, number in (("micro-batch", options.micro_batch), ("threads", options.threads)):
        if number is not None and number < 1:
            raise ConfigError(f"--{name} {number}: give at least 1")
    if not 0 < options.seconds < math.inf:
        raise ConfigError(f"--seconds {options.seconds:g}: give a number above 0")
    if device.type not in {"cpu", "cuda"}:
        raise ConfigError(f"--device {device}: give cpu or cuda")
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ConfigError(f"--device {device}: this torch ({torch.__version__}) sees no GPU")


def _machine(device: torch.device) -> dict[str, str | int]:
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else _processor()
    return {
        "device": name,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "system": platform.platform(),
    }


def _processor() -> str:
    """Its name, as far as the standard library knows, and what vectors torch makes use of."""
    return f"{platform.machine()} CPU, {torch.backends.cpu.get_cpu_capability()}"


def _lines(request: BenchRequest, figures: BareFigures, machine: dict[str, str | int]) -> list[str]:
    config = request.config
    device_memory = figures.peak_device_bytes
    rows = {
        "model": f"{config.model.kind}, {config.num_frames} frames of {request.size} px, "
        f"{config.global_batch_size} clips a step",
        "machine": f"{machine['device']}, {machine['threads']} threads, torch {machine['torch']}",
        "decided": figures.decided,
        "clips/s": f"{figures.clips_per_s:,.1f}",
        "step": f"{figures.step_ms:,.1f} ms, {figures.cpu_s_per_step:,.2f} CPU seconds",
        "discriminators": f"{figures.discriminators_ms:,.1f} ms",
        "generator": f"{figures.generator_ms:,.1f} ms",
        "EMA": f"{figures.ema_ms:,.1f} ms",
        "work": f"{figures.flop_per_step / _GIGA:,.1f} GFLOP a step, "
        f"{figures.flop_per_s / _GIGA:,.1f} GFLOP/s",
        "peak memory": f"{figures.peak_rss_bytes / _MIB:,.0f} MiB"
        + ("" if device_memory is None else f", {device_memory / _MIB:,.0f} MiB on the GPU"),
    }
    width = max(map(len, rows))
    return [f"{name:<{width}}  {value}" for name, value in rows.items()]


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


if __name__ == "__main__":
    sys.exit(main())
