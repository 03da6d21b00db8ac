"""The state of networks and optimisers under one roof: tensors by `PART.NAME`."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from videogen.errors import TrainingError
from videogen.training.optimizer import GuardedAdam


@dataclass(frozen=True)
class Parts:
    """All that has a state."""

    networks: Mapping[str, nn.Module]
    optimizers: Mapping[str, GuardedAdam]

    def tensors(self) -> dict[str, Tensor]:
        """The live tensors: the next step changes them."""
        return {
            f"{part}.{name}": value.detach()
            for part, state in self._states()
            for name, value in state.items()
        }

    def _states(self) -> Iterator[tuple[str, Mapping[str, Tensor]]]:
        for part, network in self.networks.items():
            yield part, network.state_dict()
        for part, optimizer in self.optimizers.items():
            yield part, optimizer.state_dict()

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Put copies of them in the place of what there is.

        Raises:
            TrainingError: they are not those of such networks and optimisers.
        """
        parts = (*self.networks, *self.optimizers)
        unknown = [name for name in tensors if name.split(".", 1)[0] not in parts]
        if unknown:
            raise TrainingError(f"the checkpoint holds {unknown[0]!r}, which no such step has")
        try:
            for part, network in self.networks.items():
                network.load_state_dict(_below(tensors, part), strict=True)
            for part, optimizer in self.optimizers.items():
                optimizer.load_state_dict(_below(tensors, part))
        except (RuntimeError, KeyError) as error:
            reason = " ".join(str(error).split())
            raise TrainingError(f"the checkpoint does not fit the networks: {reason}") from error


def _below(tensors: Mapping[str, Tensor], part: str) -> dict[str, Tensor]:
    """The tensors of one part, by their own names."""
    prefix = f"{part}."
    return {
        name.removeprefix(prefix): value
        for name, value in tensors.items()
        if name.startswith(prefix)
    }
