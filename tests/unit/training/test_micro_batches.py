import pytest
import torch
from tiny_networks import SMALL, config_of, linear_step, reals, times

from videogen.data.loading.order import Share
from videogen.models.build import build_networks
from videogen.training.micro_batches import divided
from videogen.training.parallel import Parallel
from videogen.training.step import TrainStep


@pytest.mark.parametrize(("num", "most"), [(7, 3), (7, 7), (7, 100), (7, 1), (8, 3), (1, 1)])
def test_parts_cover_the_share_in_order_within_the_limit_and_are_as_few_as_can_be(num, most):
    parts = divided(num, most)
    sizes = [end - start for start, end in parts]
    assert [one for start, end in parts for one in range(start, end)] == list(range(num))
    assert max(sizes) <= most
    assert max(sizes) - min(sizes) <= 1
    assert len(parts) == -(-num // most)
    assert divided(num, None) == [(0, num)]


def gradients(micro_batch_clips):
    """Of both networks in one step of five clips, and the figures."""
    config = config_of(
        model=SMALL, num_frames=8, penalty_interval=2, global_batch_size=5, gamma=5.0,
        augment={"probability": 0.5}, learning_rate=1e-6,  # rounding shows in Adam's steps
    )  # fmt: skip
    networks = build_networks(SMALL, (32, 32), 8, seed=0)
    step = TrainStep(config, networks, Parallel(), Share(5), micro_batch_clips=micro_batch_clips)
    step.set_progress(5)
    real = reals(5, shape=(8, 3, 32, 32))
    figures, found = {}, {}
    for update, network in (
        (step.update_discriminator, step.discriminators), (step.update_generator, step.generator),
    ):  # fmt: skip
        figures |= update(real, times(5, 8))
        found |= {name: one.grad.clone() for name, one in network.named_parameters()}
    return found, figures


@pytest.fixture(scope="module")
def undivided():
    return gradients(None)


@pytest.mark.parametrize("micro_batch_clips", [1, 2, 3])
def test_gradients_and_figures_of_micro_batches_add_up_to_those_of_the_share(
    undivided, micro_batch_clips
):
    found, figures = gradients(micro_batch_clips)
    for name, gradient in undivided[0].items():
        assert (found[name] - gradient).norm() <= 1e-3 * gradient.norm() + 1e-6, name
    assert figures.keys() == undivided[1].keys()
    for name, value in undivided[1].items():
        torch.testing.assert_close(figures[name], value, rtol=1e-3, atol=1e-4)


def test_a_part_that_is_not_finite_skips_the_whole_step():
    step = linear_step()
    step._divided = divided(4, 1)
    real = reals()
    real[1] = torch.nan
    before = step.discriminators["clip"].weight.detach().clone()
    step.update_discriminator(real, times())
    assert torch.equal(step.discriminators["clip"].weight, before)
