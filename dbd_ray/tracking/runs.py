"""MLflow runs: settings, metrics, tags and files of a training, an evaluation or a study."""

import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple
from urllib.parse import quote

from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag
from mlflow.utils.time import get_current_time_millis

from dbd_ray.config import flatten
from dbd_ray.errors import ConfigError
from dbd_ray.masking import masked
from dbd_ray.storage import as_uri
from dbd_ray.tracking.store import database_file, store_errors

EXPERIMENT = "dbd-ray"
RUN_TAG = "dbd_ray.run"
PARENT_TAG = "mlflow.parentRunId"
KIND_TAG = "kind"
Kind = Literal["train", "trial", "tune", "ablate", "evaluate", "teach", "annotate"]
_PARAM_LIMIT = 6000
_UNNAMEABLE = re.compile(r"[^\w./: -]")  # in the name of a parameter; labels of a study may have such letters
_WITHOUT_ADDRESS = ("databricks", "databricks-uc")  # MLflow takes the address from its own profile


class UsedData(NamedTuple):
    """A dataset that a run reads.

    Attributes:
        location: Folder or URI.
        fingerprint: Its fingerprint; MLflow keeps the first 36 characters.
        rows: Number of its photos by split.
        use: What they are read for: training, evaluation, or others of MLflow's words.
    """

    location: str
    fingerprint: str
    rows: Mapping[str, int]
    use: str


def tracking_uri(storage: str | Path = "runs") -> str:
    """Give the MLflow tracking URI: `MLFLOW_TRACKING_URI`, or `mlflow.db` in the storage folder.

    Args:
        storage: Folder or URI of checkpoints; a database beside them needs a local folder, which is made.

    Returns:
        The URI; a database's path is absolute, since Ray's workers have other working directories.

    Raises:
        ConfigError: The storage is remote and no tracking server is named, or a `file:` store is.
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI")
    if uri:
        refuse_file_store(uri)
        return _absolute_database(uri)
    where = as_uri(storage)
    if "://" in where and not isinstance(storage, Path):
        raise ConfigError(f"storage {storage} is remote: set MLFLOW_TRACKING_URI to an MLflow server")
    folder = Path(where)
    folder.mkdir(parents=True, exist_ok=True)
    return _database_uri(folder / "mlflow.db")


def refuse_file_store(uri: str) -> None:
    """Check that `MLFLOW_TRACKING_URI` names a database or a server.

    Raises:
        ConfigError: It names a folder.
    """
    if uri.startswith("file:") or ("://" not in uri and uri not in _WITHOUT_ADDRESS):
        raise ConfigError(
            f"MLFLOW_TRACKING_URI={uri}: MLflow refuses file stores; use sqlite:///…/mlflow.db or a server's URL"
        )


def attempt(action: Callable[[], Any], on_failure: Callable[[str], Any]) -> None:
    """Call MLflow without letting its failure end the work that it records.

    Args:
        action: The call.
        on_failure: Called with one line of what went wrong, if something did.
    """
    try:
        action()
    except Exception as error:  # noqa: BLE001 - each database and artifact store raises kinds of its own
        reason = str(error).strip().splitlines() or [type(error).__name__]
        on_failure(masked(f"MLflow failed ({reason[0]})"))


class RunLog:
    """Writes to one MLflow run from anywhere; it can be rebuilt from (uri, run_id) in another process.

    Args:
        uri: MLflow tracking URI.
        run_id: Id of an existing run.
    """

    def __init__(self, uri: str, run_id: str) -> None:
        self.uri = uri
        self.run_id = run_id
        self._client = MlflowClient(tracking_uri=uri)

    @classmethod
    def open(cls, uri: str, name: str, *, key: str | None = None, params: Mapping[str, Any] | None = None) -> "RunLog":
        """Start a run, or go on with the one that has the same key.

        Args:
            uri: MLflow tracking URI.
            name: Name that MLflow shows.
            key: Identity across restarts, e.g. the storage folder of a training run; None: always a new run.
            params: Settings; nested mappings are flattened to a.b.c.

        Raises:
            ConfigError: There is no working store at the URI.
        """
        with store_errors(uri, "MLflow cannot be used there"):
            return cls._open(uri, name, key, params or {})

    @classmethod
    def _open(cls, uri: str, name: str, key: str | None, params: Mapping[str, Any]) -> "RunLog":
        client = MlflowClient(tracking_uri=uri)
        experiment = _experiment(client, uri)
        if key:
            key = quote(key, safe="/:")  # MLflow's search has no way to write a quotation mark
            found = client.search_runs([experiment], f"tags.`{RUN_TAG}` = '{key}'", max_results=1)
            if found:
                client.update_run(found[0].info.run_id, "RUNNING")
                return cls(uri, found[0].info.run_id)
        run = client.create_run(experiment, run_name=name, tags={RUN_TAG: key} if key else None)
        entries = [Param(_UNNAMEABLE.sub("_", k), masked(str(v))[:_PARAM_LIMIT]) for k, v in flatten(params).items()]
        for start in range(0, len(entries), 100):  # the largest batch that every MLflow server takes
            client.log_batch(run.info.run_id, params=entries[start : start + 100])
        return cls(uri, run.info.run_id)

    def metrics(self, values: Mapping[str, float], *, step: int = 0) -> None:
        """Log metrics of one step (an epoch, for training)."""
        now = get_current_time_millis()
        self._client.log_batch(self.run_id, metrics=[Metric(k, float(v), now, step) for k, v in values.items()])

    def missing_metrics(self, history: Sequence[Mapping[str, float]]) -> None:
        """Log the epochs that are not in the run yet, e.g. because the server was away for a while.

        Args:
            history: One dict of metrics per epoch, each with "epoch".
        """
        known = {entry.step for entry in self._client.get_metric_history(self.run_id, "epoch")}
        for metrics in history:
            if metrics["epoch"] not in known:
                self.metrics(metrics, step=int(metrics["epoch"]))

    def tags(self, values: Mapping[str, Any]) -> None:
        """Set tags, for instance the fingerprints of data and model."""
        self._client.log_batch(self.run_id, tags=[RunTag(k, masked(str(v))) for k, v in values.items()])

    def describe(self, kind: Kind, text: str, data: Sequence[UsedData] = ()) -> None:
        """State what MLflow shows in its list of runs: source, description, data sets, and the kind of the run.

        Args:
            kind: Kind of the run, by which the list can be filtered: `tags.kind = "train"`.
            text: Description in a few words.
            data: Datasets that the run reads.
        """
        command = "tune, ablate" if kind == "trial" else kind
        source = {"mlflow.source.name": f"dbd-ray {command}", "mlflow.source.type": "JOB"}
        self.tags({KIND_TAG: kind, "mlflow.note.content": text, **source})
        if data:
            self._client.log_inputs(self.run_id, datasets=[_dataset(one) for one in data])

    def files(self, folder: Path, *, under: str | None = None) -> None:
        """Upload a folder's content as artifacts, into the folder `under` if one is given."""
        self._client.log_artifacts(self.run_id, str(folder), under)

    def finish(self, *, failed: bool = False) -> None:
        """Mark the run as finished or failed."""
        self._client.set_terminated(self.run_id, "FAILED" if failed else "FINISHED")


def _dataset(data: UsedData) -> DatasetInput:
    location = masked(data.location)
    dataset = Dataset(
        name=location.rstrip("/").rpartition("/")[2] or location,
        digest=data.fingerprint[:36],
        source_type="local" if "://" not in location else "uri",
        source=json.dumps({"uri": location}),
        profile=json.dumps(dict(data.rows)),
    )
    return DatasetInput(dataset, [InputTag("mlflow.data.context", data.use)])


def _absolute_database(uri: str) -> str:
    database = database_file(uri)
    if database is None:
        return uri
    database.absolute().parent.mkdir(parents=True, exist_ok=True)
    return "".join([_database_uri(database.absolute()), *uri.partition("?")[1:]])


def _database_uri(database: Path) -> str:
    path = str(database).replace("%", "%25").replace("?", "%3F")
    # with the driver's name where there are escapes: MLflow makes the folder of a plain sqlite:/// URI, and takes the
    # escapes for its name
    return f"sqlite{'' if path == str(database) else '+pysqlite'}:///{path}"


def _experiment(client: MlflowClient, uri: str) -> str:
    found = client.get_experiment_by_name(EXPERIMENT)
    if found:
        return str(found.experiment_id)
    artifacts = None
    database = database_file(uri)
    if database:  # beside the database, not in whatever folder the command ran in
        artifacts = (database.parent / "mlartifacts").as_uri()
    return str(client.create_experiment(EXPERIMENT, artifact_location=artifacts))
