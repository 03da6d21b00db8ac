"""The bare core's bench: it runs with nothing but its five libraries, and counts what is done."""

import copy
import json
import subprocess
import sys

import pytest
import torch
from torch import nn

from videogen.config.models import R3ganVConfig
from videogen.config.train import TrainConfig
from videogen.training import bench
from videogen.training.bare import BareCore
from videogen.training.flops import FlopCount

_BARE = """
import sys
from importlib.abc import MetaPathFinder

class Bare(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top in BLOCKED:
            raise ImportError(f"{name} is not on a bare GPU machine")
        return None

BLOCKED = set(sys.argv.pop(1).split(","))
sys.meta_path.insert(0, Bare())
from videogen.training.bench import main
raise SystemExit(main(sys.argv[1:]))
"""
_NOT_THERE = (
    "ray", "boto3", "botocore", "mlflow", "prefect", "av", "pyarrow", "simplejpeg", "safetensors",
    "PIL", "typer", "rich", "yaml", "psutil", "fastapi", "webdataset",
)  # fmt: skip


def test_the_core_trains_where_only_torch_numpy_pydantic_einops_and_jaxtyping_are() -> None:
    options = "--size 32 --frames 4 --batch 2 --seconds 0.1 --threads 1 --compile off --json"
    run = subprocess.run(
        [sys.executable, "-c", _BARE, ",".join(_NOT_THERE), *options.split()],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert run.returncode == 0, run.stderr
    answer = json.loads(run.stdout)
    figures = answer["figures"]
    assert figures["clips_per_s"] == pytest.approx(2e3 / figures["step_ms"])
    rate = figures["flop_per_step"] / figures["step_ms"] * 1e3
    assert figures["flop_per_s"] == pytest.approx(rate)
    parts = figures["discriminators_ms"] + figures["generator_ms"] + figures["ema_ms"]
    assert 0.3 < parts / figures["step_ms"] < 1.5
    assert 100 << 20 < figures["peak_rss_bytes"] < 2 << 30
    assert figures["peak_device_bytes"] is None
    assert answer["train"]["model"]["kind"] == "r3gan-v"
    assert answer["machine"]["threads"] == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--size 40", "makes square frames of 32, 64, 128 or 256 px"),
        ("--micro-batch 0", "--micro-batch 0: give at least 1"),
        ("--batch 0", "global_batch_size: Input should be greater than or equal to 1"),
        ("--threads 0", "--threads 0: give at least 1"),
        ("--seconds nan", "--seconds nan: give a number above 0"),
        ("--seconds -1", "--seconds -1: give a number above 0"),
        ("--device tpu", "--device 'tpu'"),
        ("--device meta", "--device meta: give cpu or cuda"),
    ],
)
def test_a_request_that_cannot_be_is_one_line(options: str, message: str, capsys) -> None:
    assert bench.main(options.split()) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert message in shown.err
    assert shown.err.count("\n") == 1


def test_the_table_names_what_was_timed(capsys) -> None:
    options = "--model dcgan --size 32 --frames 2 --batch 2 --seconds 0.01 --compile off"
    assert bench.main(options.split()) == 0
    rows = dict(line.split("  ", 1) for line in capsys.readouterr().out.splitlines())
    assert rows["model"].strip().startswith("dcgan, 2 frames of 32 px, 2 clips")
    assert {"decided", "clips/s", "generator", "discriminators", "work", "peak memory"} <= set(rows)


@pytest.mark.parametrize("groups", [1, 4])
def test_a_convolution_costs_its_products_and_twice_as_much_backwards(groups: int) -> None:
    convolution = nn.Conv2d(16, 32, 3, padding=1, groups=groups, bias=False)
    frames = torch.randn(2, 16, 8, 8, requires_grad=True)
    forward = 2 * (2 * 32 * 8 * 8) * (16 // groups) * 9
    with FlopCount() as count:
        answer = convolution(frames)
    assert count.total == forward
    with FlopCount() as count:
        answer.sum().backward()
    assert count.total == 2 * forward
    with FlopCount() as count, torch.no_grad():
        nn.functional.linear(torch.ones(3, 5), torch.ones(7, 5))
    assert count.total == 2 * 3 * 5 * 7


def test_the_bare_core_does_the_whole_step_penalties_too() -> None:
    tiny = R3ganVConfig(generator_channels=(16,), discriminator_channels=(16,), tube_frames=2)
    with_r1, without = (
        TrainConfig(
            model=tiny, num_frames=2, global_batch_size=2, penalty_interval=1,
            gamma=gamma, precision="fp32", compile="off",
        )
        for gamma in (1.0, 0.0)
    )  # fmt: skip
    costs = []
    for config in (with_r1, without):
        core = BareCore(config, 32, torch.device("cpu"))
        before = copy.deepcopy(dict(core.step.state_dict()))
        costs.append(core.count_flop())
        after = core.step.state_dict()
        moved = {
            name.split(".")[0]
            for name, value in after.items()
            if isinstance(value, torch.Tensor) and not value.equal(before.get(name, value))
        }
        assert moved >= {"generator", "discriminators", "ema"}
    assert costs[0] > 1.2 * costs[1]
