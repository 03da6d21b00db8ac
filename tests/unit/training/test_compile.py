"""The compiled generator: really compiled, by the machine's own compiler."""

import importlib

import pytest
import torch
from tiny_networks import SMALL_DCGAN, config_of, real_step, run

from videogen.errors import ConfigError
from videogen.models.build import build_networks
from videogen.training.compute import decide
from videogen.training.parallel import Parallel

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.script_method:DeprecationWarning")


def decided(compile_):
    networks = build_networks(SMALL_DCGAN, (32, 32), 8, seed=0)
    config = config_of(model=SMALL_DCGAN, num_frames=8, precision="fp32", compile=compile_)
    warnings = []
    compute = decide(config, networks, Parallel(), batch_clips=4, warn=warnings.append)
    assert not warnings
    return compute


def test_a_generator_that_cannot_be_compiled_is_an_error_where_it_was_asked_for():
    inductor = importlib.import_module("torch._inductor.config")  # takes a second
    with inductor.patch({"cpp.cxx": ("/nonexistent/c++",), "fx_graph_cache": False}):
        with pytest.raises(ConfigError, match=r"train\.compile is on.*train\.compile=auto"):
            decided("on")
        assert not decided("off").compiled
    torch._dynamo.reset()


def test_a_compiled_generator_trains_as_an_eager_one():
    compute = decided("on")
    assert compute.compiled
    assert "times eager" in compute.reason
    torch._dynamo.utils.counters.clear()
    figures = run(real_step(SMALL_DCGAN, compute=compute), 0, 4)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] > 0
    expected = run(real_step(SMALL_DCGAN), 0, 4)
    for name, value in expected.items():
        torch.testing.assert_close(figures[name], value, rtol=1e-3, atol=1e-4)
