"""A workplace with sample videos; nothing may be left running in it."""

from collections.abc import Iterator

import pytest
from workplace import Workplace


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workplace]:
    workplace = Workplace(tmp_path_factory.mktemp("road"))
    done = workplace.run("samples", ".videogen/samples", "--num-videos", "24")
    assert done.returncode == 0, done.stderr
    yield workplace
    workplace.run("stack", "down")
    left = workplace.processes()
    for process in left:
        process.kill()
    assert not left, [process.cmdline() for process in left]
