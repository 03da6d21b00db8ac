"""The stage evaluate on a real Ray."""

from pathlib import Path

import pytest
from judged_toy import MODEL, toy_config, toy_dataset, toy_generator

from videogen.artifacts import EvaluationReport
from videogen.config.run import RunConfig
from videogen.config.sections import IngestConfig
from videogen.config.settings import Settings
from videogen.config.train import TrainConfig
from videogen.evaluation.stage import evaluate
from videogen.execution.ray_session import Cluster, ClusterSpec
from videogen.progress import ProgressEvent
from videogen.storage.local import LocalStore

pytestmark = [
    pytest.mark.machine,
    # Ray leaves its log files to the garbage collector.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

CONFIG = RunConfig(
    name="toy",
    ingest=IngestConfig(min_clip_frames=9),
    train=TrainConfig(model=MODEL, num_frames=9),
    evaluate=toy_config(3, batch_size=2),
)


class Notebook:
    """Keeps what a tracker is told."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}

    def log_metrics(self, values: dict[str, float], step: int) -> None:
        self.step = step

    def log_artifact(self, path: Path, artifact_dir: str = "") -> None:
        self.files[f"{artifact_dir}/{path.name}"] = path.read_bytes()


def judged(root: Path, num_workers: int) -> tuple[EvaluationReport, dict[str, bytes], list[float]]:
    """A report, its files, and how progress was counted, in a store where nothing is cached."""
    store, notebook = LocalStore(root), Notebook()
    events: list[ProgressEvent] = []
    with Cluster(ClusterSpec(num_cpus=num_workers)) as cluster:
        report = evaluate(
            CONFIG, toy_dataset(store, 6), toy_generator(store), store, notebook, cluster,
            events.append, Settings.from_environment(),
        )  # fmt: skip
    return report, notebook.files, [event.done for event in events if event.unit == "clips"]


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory):
    return [judged(tmp_path_factory.mktemp(f"workers-{num}"), num) for num in (1, 2)]


def test_one_and_two_workers_make_the_same_report_and_page_to_the_byte_but_for_the_time(reports):
    (one, files_of_one, counted), (two, files_of_two, _) = reports
    assert two.model_copy(update={"seconds": one.seconds}) == one
    assert files_of_one.keys() == files_of_two.keys()
    for name, content in files_of_one.items():
        if name != "evaluation/report.json":
            assert files_of_two[name] == content, name
    assert {"evaluation/report.html", "evaluation/closest.png"} <= files_of_one.keys()
    kept = EvaluationReport.model_validate_json(files_of_two["evaluation/report.json"])
    same = kept.model_copy(update={"seconds": one.seconds})
    assert same.model_dump_json(indent=2).encode() == files_of_one["evaluation/report.json"]
    assert counted[-1] == 6 * 3
