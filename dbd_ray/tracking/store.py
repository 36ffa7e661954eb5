"""The MLflow store at a URI: a check that it works before work begins, and its failures as errors of ours."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

import httpx2
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError

from dbd_ray.errors import ConfigError
from dbd_ray.masking import clean_cause

CORRECT = "start its server, or correct MLFLOW_TRACKING_URI"
PROBE_TIMEOUT_S = 10.0
_SQLITE = re.compile(r"sqlite(\+pysqlite)?:///")
_PACKAGES = {"psycopg2": "psycopg2-binary", "MySQLdb": "mysqlclient"}  # where pip has another name than Python


def require_store(uri: str) -> None:
    """Check that the MLflow store at a URI works, before there are results that go there.

    Args:
        uri: MLflow tracking URI.

    Raises:
        ConfigError: No server answers there within 10 s, or the store does not work.
    """
    database = database_file(uri)
    if database and not database.exists():  # the first run makes it
        return
    with store_errors(uri, "MLflow cannot be used there"):
        probe_server(uri, PROBE_TIMEOUT_S)
        MlflowClient(tracking_uri=uri).search_experiments(max_results=1)


def database_file(uri: str) -> Path | None:
    """Give the path of the database file that a tracking URI names; None where it names something else."""
    scheme = _SQLITE.match(uri)
    return Path(unquote(uri[scheme.end() :].partition("?")[0])) if scheme else None


@contextmanager
def store_errors(uri: str, what: str) -> Iterator[None]:
    """Turn failures of an MLflow store into a ConfigError that says what to do.

    Args:
        uri: MLflow tracking URI.
        what: What cannot be done there.
    """
    try:
        yield
    except ImportError as error:
        package = _PACKAGES.get(error.name or "", error.name or str(error))
        message = f"the Python package {package}, which this kind of store needs, is missing: pip install {package}"
        raise ConfigError(f"{uri}: {what}: {message}") from None
    except (MlflowException, SQLAlchemyError, httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
        raise ConfigError(f"{uri}: {what} ({reason_of(error)}); {CORRECT}") from clean_cause(error)


def reason_of(error: Exception) -> str:
    """Take the first line of what a store's error says."""
    text = error.message if isinstance(error, MlflowException) else str(error)
    return (text.strip().splitlines() or [type(error).__name__])[0]


def probe_server(uri: str, timeout_s: float) -> None:
    """Ask whether any server answers at a URI of http or https; others are passed over.

    MLflow itself would try one that does not answer again and again for many minutes.

    Raises:
        ConfigError: Nothing answered in time.
        httpx2.HTTPError: Nothing can be asked there.
    """
    parts = urlsplit(uri)
    if parts.scheme not in ("http", "https"):
        return
    # any answer will do, and nothing secret is sent: neither the password nor the certificate matters
    address = urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], "/health", "", ""))
    try:
        httpx2.head(address, timeout=timeout_s, verify=False)
    except httpx2.TimeoutException:
        raise ConfigError(f"{uri}: no MLflow server answered within {timeout_s:g} s; {CORRECT}") from None
    except ImportError:
        return  # for a proxy that needs a package: MLflow may have it
