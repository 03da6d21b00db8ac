"""Adam that clips, and skips a step by itself where a gradient is not finite, on all workers."""

import torch
from torch import Tensor, nn

from videogen.training.parallel import Parallel

_EPSILON = 1e-8
_MOMENTS = ("step", "exp_avg", "exp_avg_sq")


class GuardedAdam:
    """Fused Adam over a network's parameters (Kingma & Ba 2015), with L2 and a limit of the norm.

    Whether any worker's gradient is not finite is reduced over the workers and handed to the fused
    kernel as `found_inf`: nobody applies such a step. The norm's limit goes the same way, as
    `grad_scale`, by which the kernel divides. The host waits for neither.
    """

    def __init__(
        self,
        network: nn.Module,
        beta1: float,
        parallel: Parallel,
        *,
        weight_decay: float = 0.0,
        max_norm: float | None = None,
    ) -> None:
        self._names = [name for name, _ in network.named_parameters()]
        self._parameters = list(network.parameters())
        self._parallel = parallel
        self._max_norm = max_norm
        self._beta1 = float(beta1)  # torch refuses integers
        self._adam = torch.optim.Adam(
            self._parameters,
            lr=1.0,
            betas=(self._beta1, 0.5),
            eps=_EPSILON,
            weight_decay=weight_decay,
            fused=True,
        )
        self.skipped = torch.zeros((), device=parallel.device)
        """Whether the last step was not applied: 0 or 1, 0-dim."""

    def set(self, learning_rate: float, beta2: float) -> None:
        """Values for the steps that follow."""
        for group in self._adam.param_groups:
            group["lr"], group["betas"] = learning_rate, (self._beta1, beta2)

    def forget_gradients(self) -> None:
        """Before the first backward of a step."""
        self._adam.zero_grad(set_to_none=True)

    def step(self) -> Tensor:
        """Go down the gradients that were gathered, unless one is not finite on some worker.

        Returns their norm before it was limited, 0-dim.
        """
        gradients = [one.grad for one in self._parameters if one.grad is not None]
        norms = torch.stack(torch._foreach_norm(gradients))  # noqa: SLF001 - as clip_grad_norm_ does
        norm: Tensor = torch.linalg.vector_norm(norms)
        self.skipped = self._parallel.all_reduce((~torch.isfinite(norm)).to(torch.float32), "max")
        excess = None if self._max_norm is None else (norm / self._max_norm).clamp(min=1.0)
        for attribute, value in (("found_inf", self.skipped), ("grad_scale", excess)):
            setattr(self._adam, attribute, value)  # read by the fused kernel, undeclared
        self._adam.step()
        return norm

    def state_dict(self) -> dict[str, Tensor]:
        """Moments and counts by `PARAMETER.MOMENT`: the live tensors."""
        return {
            f"{name}.{moment}": self._adam.state[parameter][moment]
            for name, parameter in zip(self._names, self._parameters, strict=True)
            for moment in _MOMENTS
            if parameter in self._adam.state
        }

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on from that state exactly.

        Raises:
            KeyError: a moment is missing.
            RuntimeError: a moment has another shape, or belongs to no parameter.
        """
        left = dict(state)
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
        self._adam.state.clear()
        self._adam.state.update(moments)


def _fitted(value: Tensor, parameter: Tensor, name: str, moment: str) -> Tensor:
    """A copy on the parameter's device, laid out as the parameter is."""
    if moment == "step":
        return value.to(parameter.device, copy=True)
    if value.shape != parameter.shape:
        raise RuntimeError(f"{name}.{moment} has shape {tuple(value.shape)}")
    return torch.empty_like(parameter, requires_grad=False).copy_(value)
