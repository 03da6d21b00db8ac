import pytest
import torch
from tiny_networks import (
    SMALL,
    SMALL_DCGAN,
    copied,
    real_step,
    run,
    same,
)

from videogen.config.augment import AugmentConfig
from videogen.errors import TrainingError


@pytest.mark.parametrize("model", [SMALL, SMALL_DCGAN], ids=lambda model: model.kind)
def test_a_resumed_step_goes_on_bit_by_bit(model):
    augmented = {"augment": AugmentConfig(probability=0.5)}
    whole, half = real_step(model, **augmented), real_step(model, **augmented)
    run(whole, 0, 24)
    run(half, 0, 12)
    state = copied(half.state_dict())
    resumed = real_step(model, **augmented)
    run(resumed, 0, 4)  # whatever it was before is replaced
    resumed.load_state_dict(state)
    torch.manual_seed(99)
    run(resumed, 12, 24)
    expected = whole.state_dict()
    for name, value in resumed.state_dict().items():
        assert same(value, expected[name]), name


@pytest.mark.parametrize("model", [SMALL, SMALL_DCGAN], ids=lambda model: model.kind)
def test_a_state_from_before_the_first_step_can_be_loaded(model):
    fresh, other = real_step(model), real_step(model)
    run(other, 0, 8)
    other.load_state_dict(fresh.state_dict())
    run(fresh, 0, 8)
    run(other, 0, 8)
    expected = fresh.state_dict()
    assert all(same(value, expected[name]) for name, value in other.state_dict().items())


@pytest.mark.parametrize(
    "damage",
    [
        lambda state: state.pop("ema.basis"),
        lambda state: state.update({"ema.more": torch.zeros(1)}),
        lambda state: state.update({"elsewhere.more": torch.zeros(1)}),
        lambda state: state.pop("generator_adam.basis.exp_avg"),
        lambda state: state.update({"generator_adam.basis.exp_avg": torch.zeros(1)}),
        lambda state: state.update({"generator_adam.more": torch.zeros(1)}),
    ],
)
def test_a_state_of_something_else_is_refused(damage):
    step = real_step()
    run(step, 0, 4)
    state = step.state_dict()
    damage(state)
    with pytest.raises(TrainingError, match="checkpoint"):
        step.load_state_dict(state)
