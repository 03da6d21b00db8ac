import copy

import pytest
import torch
from tiny_networks import SMALL, SMALL_DCGAN, config_of, copied, real_step, run, same

from videogen.models.build import build_networks
from videogen.training.compute import Abilities, Compute, bf16_unit, by_time, decide
from videogen.training.parallel import Parallel
from videogen.training.probe import Format

CPU = torch.device("cpu")
FP32, FP32_LAST = Format(bf16=False, channels_last=False), Format(bf16=False, channels_last=True)
BF16, BF16_LAST = Format(bf16=True, channels_last=False), Format(bf16=True, channels_last=True)


def refuse(message):
    raise AssertionError(message)


def decided(model=SMALL, parallel=None, isa=None, warn=refuse, **settings):
    networks = build_networks(model, (32, 32), 8, seed=0)
    config = config_of(model=model, num_frames=8, **settings)
    return decide(
        config, networks, parallel or Parallel(), batch_clips=2, max_cpu_isa=isa, warn=warn
    )


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        ({FP32: 4.0, FP32_LAST: 3.0, BF16: 2.0, BF16_LAST: 1.0}, BF16_LAST),
        ({FP32: 4.0, FP32_LAST: 3.0, BF16: 1.0, BF16_LAST: 2.0}, BF16),
        ({FP32: 2.0, FP32_LAST: 1.0, BF16: 4.0, BF16_LAST: 3.0}, FP32_LAST),
        ({FP32: 1.0, FP32_LAST: 2.0, BF16: 4.0, BF16_LAST: 3.0}, FP32),
        ({FP32: 2.0, FP32_LAST: 1.0}, FP32_LAST),
        ({FP32: 1.0, FP32_LAST: 1.02, BF16: 0.95, BF16_LAST: 0.96}, FP32_LAST),  # all are close
    ],
)
def test_the_fastest_is_taken_and_what_comes_close_is_decided_by_default(seconds, expected):
    compute = by_time(seconds, "its unit")
    assert Format(compute.bf16, compute.channels_last) == expected


def test_the_reason_tells_the_measured_ratio_and_the_unit():
    slow = {FP32: 4.0, FP32_LAST: 3.6, BF16: 3.0, BF16_LAST: 1.5}
    assert by_time(slow, "AMX").reason == (
        "bf16 on channels-last: 2.4 times fp32 (AMX), 2.0 times contiguous"
    )
    reason = by_time({FP32: 1.0, FP32_LAST: 2.0}, "cpu has no bf16 instructions").reason
    assert reason == "fp32 on contiguous: cpu has no bf16 instructions, 2.0 times channels-last"


@pytest.mark.parametrize("model", [SMALL, SMALL_DCGAN], ids=lambda model: model.kind)
def test_measuring_leaves_weights_buffers_and_random_state_alone(model):
    networks = build_networks(model, (32, 32), 8, seed=0)
    before = [
        copy.deepcopy(one.state_dict())
        for one in (networks.generator, *networks.discriminators.values())
    ]
    random = torch.get_rng_state()
    compute = decide(
        config_of(model=model, num_frames=8), networks, Parallel(), batch_clips=2, warn=refuse
    )
    assert torch.equal(torch.get_rng_state(), random)
    for one, state in zip(
        (networks.generator, *networks.discriminators.values()), before, strict=True
    ):
        assert all(torch.equal(value, state[name]) for name, value in one.state_dict().items())
        assert all(value.grad is None for value in one.parameters())
    assert " times " in compute.reason


@pytest.mark.parametrize("requested", ["fp32", "bf16"])
def test_what_is_configured_is_done_and_nothing_is_timed(requested):
    compute = decided(precision=requested)
    assert compute.bf16 is (requested == "bf16")
    assert compute.reason.endswith("as configured")


@pytest.mark.parametrize("limit", ["AVX2", "AVX512_CORE", "avx512_core_vnni", "SSE41"])
def test_a_limit_of_onednn_that_excludes_bf16_means_fp32_and_is_the_reason(limit):
    assert bf16_unit(CPU, limit) is None
    compute = decided(isa=limit)
    assert not compute.bf16
    assert limit in compute.reason


@pytest.mark.parametrize("limit", ["ALL", "AVX512_CORE_BF16", "AVX512_CORE_AMX"])
def test_a_limit_that_admits_bf16_changes_nothing(limit):
    assert bf16_unit(CPU, limit) == bf16_unit(CPU)


def test_products_are_in_the_format_that_was_decided():
    for bf16, dtype in ((True, torch.bfloat16), (False, torch.float32)):
        with Compute(bf16=bf16).autocast(CPU):
            assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == dtype


def test_a_checkpoint_s_decision_is_kept_where_the_machine_can():
    able = Abilities(bf16=True, compiled=True)
    here = Compute(reason="measured", abilities=able)
    before = Compute(bf16=True, channels_last=True, compiled=True)
    kept = here.resumed(before.state())
    assert (kept.bf16, kept.channels_last, kept.compiled) == (True, True, True)
    assert "as the run began" in kept.reason
    assert here.resumed(here.state()) is here
    assert here.resumed({"generator.weight": torch.zeros(1)}) is here


def test_what_the_machine_cannot_do_is_said_not_to_go_on_bit_by_bit():
    before = Compute(bf16=True, channels_last=True).state()
    kept = Compute(abilities=Abilities(bf16=False)).resumed(before)
    assert not kept.bf16
    assert kept.channels_last
    assert "not bit by bit" in kept.reason


def test_compiling_is_the_config_s_to_say_even_in_a_run_that_began_otherwise():
    closed = Abilities(compiled=True, compile_is_open=False)
    assert not Compute(abilities=closed).resumed(Compute(compiled=True).state()).compiled


def test_a_step_goes_on_bit_by_bit_in_the_format_of_its_checkpoint():
    lasting = Compute(bf16=True, channels_last=True, abilities=Abilities(bf16=True))
    whole, resumed = real_step(compute=lasting), real_step(
        compute=Compute(abilities=Abilities(bf16=True))
    )  # fmt: skip
    run(whole, 0, 8)
    resumed.load_state_dict(copied(whole.state_dict()))
    run(whole, 8, 16)
    run(resumed, 8, 16)
    expected = whole.state_dict()
    for name, value in resumed.state_dict().items():
        assert same(value, expected[name]), name


@pytest.mark.parametrize("model", [SMALL, SMALL_DCGAN], ids=lambda model: model.kind)
def test_layout_and_format_change_a_step_by_rounding_only(model):
    plain = real_step(model)
    plain_figures = run(plain, 0, 4)
    for changed, tolerance in ((Compute(channels_last=True), 1e-4), (Compute(bf16=True), 0.05)):
        figures = run(real_step(model, compute=changed), 0, 4)
        for name in ("discriminator_loss", "generator_loss", "real_logit"):
            torch.testing.assert_close(
                figures[name], plain_figures[name], rtol=tolerance, atol=tolerance
            )
