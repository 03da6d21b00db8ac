"""Adam that skips a step by itself where a gradient is not finite, on all workers alike."""

import torch
from torch import Tensor, nn

from videogen.training.parallel import Parallel

_EPSILON = 1e-8
_MOMENTS = ("step", "exp_avg", "exp_avg_sq")


class GuardedAdam:
    """Fused Adam over a network's parameters (Kingma & Ba 2015, no weight decay).

    Whether any worker's gradient is not finite is reduced over the workers and handed to the fused
    kernel as `found_inf`: nobody applies such a step, and the host never waits for the answer.
    """

    def __init__(self, network: nn.Module, beta1: float, parallel: Parallel) -> None:
        self._names = [name for name, _ in network.named_parameters()]
        self._parameters = list(network.parameters())
        self._parallel = parallel
        self._beta1 = float(beta1)  # torch refuses integers
        self._adam = torch.optim.Adam(
            self._parameters, lr=1.0, betas=(self._beta1, 0.5), eps=_EPSILON, fused=True
        )
        self.skipped = torch.zeros((), device=parallel.device)
        """Steps that were not applied; 0-dim."""

    def set(self, learning_rate: float, beta2: float) -> None:
        """Values for the steps that follow."""
        for group in self._adam.param_groups:
            group["lr"], group["betas"] = learning_rate, (self._beta1, beta2)

    def step(self, loss: Tensor) -> None:
        """Go down the gradient of a loss, unless it is not finite on some worker."""
        self._adam.zero_grad(set_to_none=True)
        loss.backward()
        gradients = [one.grad for one in self._parameters if one.grad is not None]
        norms = torch.stack(torch._foreach_norm(gradients))  # noqa: SLF001 - as clip_grad_norm_ does
        bad = (~torch.isfinite(norms).all()).to(torch.float32)
        bad = self._parallel.all_reduce(bad, "max")
        self.skipped = self.skipped + bad
        setattr(self._adam, "found_inf", bad)  # noqa: B010 - read by the fused kernel, undeclared
        self._adam.step()

    def state_dict(self) -> dict[str, Tensor]:
        """Moments and counts by `PARAMETER.MOMENT`, and `skipped`."""
        state = {
            f"{name}.{moment}": self._adam.state[parameter][moment]
            for name, parameter in zip(self._names, self._parameters, strict=True)
            for moment in _MOMENTS
            if parameter in self._adam.state
        }
        return {**state, "skipped": self.skipped}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on from that state exactly.

        Raises:
            KeyError: a moment is missing.
            RuntimeError: a moment has another shape, or belongs to no parameter.
        """
        left = dict(state)
        skipped = left.pop("skipped")
        moments: dict[Tensor, dict[str, Tensor]] = {}
        for name, parameter in zip(self._names, self._parameters, strict=True):
            if not left:
                break  # a state from before the first step
            own = {moment: left.pop(f"{name}.{moment}") for moment in _MOMENTS}
            moments[parameter] = {
                moment: _fitted(value, parameter, name, moment) for moment, value in own.items()
            }
        if left:
            raise RuntimeError(f"{next(iter(left))} belongs to no parameter")
        self.skipped = skipped.to(self._parallel.device, copy=True)
        self._adam.state.clear()
        self._adam.state.update(moments)


def _fitted(value: Tensor, parameter: Tensor, name: str, moment: str) -> Tensor:
    """A copy on the parameter's device, laid out as the parameter is."""
    if moment == "step":
        return value.to(parameter.device, copy=True)
    if value.shape != parameter.shape:
        raise RuntimeError(f"{name}.{moment} has shape {tuple(value.shape)}")
    return torch.empty_like(parameter, requires_grad=False).copy_(value)
