"""The guarded optimiser against torch's own, step by step."""

import pytest
import torch
from torch import nn

from videogen.training.optimizer import GuardedAdam
from videogen.training.parallel import Parallel

GRADIENTS = [torch.tensor([[3.0, -4.0]]), torch.tensor([[0.3, 0.1]]), torch.tensor([[-6.0, 8.0]])]


def layer():
    one = nn.Linear(2, 1, bias=False)
    with torch.no_grad():
        one.weight.copy_(torch.tensor([[1.0, -2.0]]))
    return one


def guarded(network, **options):
    adam = GuardedAdam(network, 0.5, Parallel(), **options)
    adam.set(0.1, 0.9)
    return adam


def step(adam, network, gradient):
    adam.forget_gradients()
    network.weight.grad = gradient.clone()
    return adam.step()


@pytest.mark.parametrize("max_norm", [None, 2.0])
@pytest.mark.parametrize("weight_decay", [0.0, 0.5])
def test_it_is_adam_with_l2_on_gradients_of_limited_norm(max_norm, weight_decay):
    ours, theirs = layer(), layer()
    adam = guarded(ours, weight_decay=weight_decay, max_norm=max_norm)
    reference = torch.optim.Adam(
        theirs.parameters(), lr=0.1, betas=(0.5, 0.9), eps=1e-8, weight_decay=weight_decay
    )
    for gradient in GRADIENTS:
        norm = step(adam, ours, gradient)
        theirs.weight.grad = gradient.clone()
        if max_norm is not None:
            nn.utils.clip_grad_norm_(theirs.parameters(), max_norm)
        reference.step()
        torch.testing.assert_close(norm, gradient.norm())
        torch.testing.assert_close(ours.weight, theirs.weight, rtol=1e-5, atol=1e-6)


def test_the_limit_is_of_all_parameters_together():
    network = nn.Sequential(layer(), layer())
    adam = guarded(network, max_norm=1.0)
    adam.forget_gradients()
    for one, gradient in zip(network, ([[3.0, 0.0]], [[0.0, 4.0]]), strict=True):
        one.weight.grad = torch.tensor(gradient)
    assert adam.step().item() == pytest.approx(5.0)
    moments = adam.state_dict()
    torch.testing.assert_close(moments["0.weight.exp_avg"], torch.tensor([[0.5 * 3 / 5, 0.0]]))
    torch.testing.assert_close(moments["1.weight.exp_avg"], torch.tensor([[0.0, 0.5 * 4 / 5]]))


@pytest.mark.parametrize("max_norm", [None, 1.0])
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_gradient_that_is_not_finite_changes_nothing_and_is_counted(bad, max_norm):
    network = layer()
    adam = guarded(network, max_norm=max_norm, weight_decay=0.5)
    step(adam, network, GRADIENTS[0])
    weight = network.weight.detach().clone()
    moments = {name: value.clone() for name, value in adam.state_dict().items()}
    step(adam, network, torch.tensor([[bad, 1.0]]))
    assert torch.equal(network.weight, weight)
    assert adam.skipped.item() == 1
    assert all(torch.equal(value, moments[name]) for name, value in adam.state_dict().items())
    step(adam, network, GRADIENTS[1])
    assert not torch.equal(network.weight, weight)
    assert adam.skipped.item() == 0
