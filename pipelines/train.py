"""A dataset snapshot to a checkpoint."""

import sys

from prefect import flow

from pipelines.command import main
from pipelines.running import flow_run_name, open_run


@flow(name="train", flow_run_name=flow_run_name, result_serializer="json")
def train(
    config: str,
    run_id: str | None = None,
    *,
    force: bool = False,
    progress: str = "auto",
    command: list[str] | None = None,
) -> dict[str, object]:
    """A dataset snapshot to a checkpoint.

    `config` is a preset's name or a YAML file; the parameters are those of `open_run`.
    """
    with open_run(config, run_id, force=force, progress=progress, command=command) as run:
        return run.stage("train").model_dump(mode="json")


if __name__ == "__main__":
    sys.exit(main(train))
