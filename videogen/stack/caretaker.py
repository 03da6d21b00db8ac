"""Ends a borrowed service whose borrowers were all killed.

`python -m videogen.stack.caretaker NAME STATE_DIR` runs beside the command that started a service
to borrow it, and ends once nobody borrows that any more.
"""

import fcntl
import sys
import time
from pathlib import Path

_POLL_S = 1.0


def main(name: str, state_dir: Path) -> None:
    """Wait until nobody holds the service's lock, then end it unless it is kept."""
    with (state_dir / f"{name}.borrowers").open("ab") as lock:
        while not _obtains(lock.fileno()):
            # Asked for now and then, not waited for: a borrower that finds it wanted would think
            # that it is not the last.
            time.sleep(_POLL_S)
        if state_dir.is_dir():
            _stop(name, state_dir)


def _obtains(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _stop(name: str, state_dir: Path) -> None:
    # Loaded only now: until here, and mostly altogether, this process is small.
    from videogen.config.settings import Settings  # noqa: PLC0415
    from videogen.stack import lifecycle  # noqa: PLC0415
    from videogen.stack.prefect_server import PrefectServer  # noqa: PLC0415
    from videogen.stack.ray_head import RayHead  # noqa: PLC0415
    from videogen.stack.seaweedfs import SeaweedFS  # noqa: PLC0415

    settings = Settings(state_dir, state_dir, None, None, None)
    service = next(one for one in (SeaweedFS(), PrefectServer(), RayHead()) if one.name == name)
    lifecycle.stop_unless_kept(service, settings)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
