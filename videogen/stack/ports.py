"""Free ports of this machine, from a range that nothing else here uses.

20000 to 22767 is below the ephemeral range, above Ray's workers (10002 to 19999), and its gRPC
counterparts (plus 10000) stay below the ephemeral range too.
"""

import random
import socket
from collections.abc import Collection, Mapping

from videogen.errors import ServiceError

FIRST, LAST = 20000, 22767
GRPC_OFFSET = 10000


def is_free(port: int) -> bool:
    """Whether both `port` and its gRPC counterpart can be bound now, at every address."""
    return not taken(port)


def taken(port: int) -> tuple[int, ...]:
    """Of `port` and its gRPC counterpart, those that cannot be bound now."""
    return tuple(one for one in (port, port + GRPC_OFFSET) if not _can_bind(one))


def choose(
    wanted: Mapping[str, int], *, remembered: Mapping[str, int], avoided: Collection[int] = ()
) -> dict[str, int]:
    """A free port for each role: the one remembered, else the usual one, else any of the range.

    None of `avoided`: two stacks that start at once would meet at the same free ports for ever.
    """
    chosen: dict[str, int] = {}
    candidates = random.sample(range(FIRST, LAST + 1), LAST + 1 - FIRST)
    for role, usual in wanted.items():
        for port in (remembered.get(role, usual), usual, *candidates):
            if port not in avoided and port not in chosen.values() and is_free(port):
                chosen[role] = port
                break
        else:
            raise ServiceError(
                f"no port from {FIRST} to {LAST} is free for {role}: "
                "end some of the programs that listen there"
            )
    return chosen


def _can_bind(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            # At every address: Ray's agents listen at the machine's own, not on loopback.
            probe.bind(("", port))
        except OSError:
            return False
    return True
