import pytest
import torch

from videogen.training.precision import cpu_bf16_unit, decide

CPU = torch.device("cpu")


@pytest.mark.parametrize("requested", ["fp32", "bf16"])
def test_what_is_asked_for_is_done(requested):
    assert decide(requested, CPU).bf16 is (requested == "bf16")


def test_a_cpu_computes_in_bf16_exactly_where_it_has_instructions_for_it():
    precision = decide("auto", CPU)
    assert precision.bf16 is (cpu_bf16_unit() is not None)
    assert precision.reason


@pytest.mark.parametrize("limit", ["AVX2", "AVX512_CORE", "avx512_core_vnni", "SSE41"])
def test_a_limit_of_onednn_that_excludes_bf16_means_fp32_and_is_the_reason(limit):
    precision = decide("auto", CPU, limit)
    assert not precision.bf16
    assert limit in precision.reason


@pytest.mark.parametrize("limit", [None, "ALL", "AVX512_CORE_BF16", "AVX512_CORE_AMX"])
def test_a_limit_that_admits_bf16_changes_nothing(limit):
    assert decide("auto", CPU, limit) == decide("auto", CPU)


def test_autocast_makes_products_bf16_and_leaves_them_fp32_otherwise():
    for requested, dtype in (("bf16", torch.bfloat16), ("fp32", torch.float32)):
        with decide(requested, CPU).autocast(CPU):
            assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == dtype
