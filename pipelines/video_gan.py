"""Raw videos to a registered generator: the four stages in order."""

import sys

from prefect import flow

from pipelines.command import main
from pipelines.running import flow_run_name, open_run
from pipelines.summary import publish_summary, run_document
from videogen.config.run import STAGES


@flow(name="video-gan", flow_run_name=flow_run_name, result_serializer="json")
def video_gan(
    config: str,
    run_id: str | None = None,
    *,
    force: bool = False,
    progress: str = "auto",
    command: list[str] | None = None,
) -> dict[str, object]:
    """Ingest, train, evaluate, register; a stage whose result is there is linked.

    `config` is a preset's name or a YAML file; the parameters are those of `open_run`.
    """
    with open_run(config, run_id, force=force, progress=progress, command=command) as run:
        results = {stage: run.stage(stage) for stage in STAGES}
        document = run_document(run, results)
        publish_summary(run, results)
    return document


if __name__ == "__main__":
    sys.exit(main(video_gan))
