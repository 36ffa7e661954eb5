"""The endpoint on the Ray of this process, as a context that shuts it down at its end."""

import io
import logging
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout

import ray
from ray import serve
from ray.exceptions import RayError
from ray.serve.config import HTTPOptions
from ray.serve.schema import LoggingConfig

from dbd_ray.config.serve import ServeConfig
from dbd_ray.errors import ConfigError, DbdRayError
from dbd_ray.serving.application import build_for_one_machine
from dbd_ray.serving.keys import load_keys

APPLICATION = "focus"


@contextmanager
def endpoint(
    config: ServeConfig, *, host: str = "127.0.0.1", port: int, on_step: Callable[[str], None] = lambda step: None
) -> Iterator[str]:
    """Serve on the Ray that this process is connected to, and shut Serve down at the end.

    Args:
        config: Settings of the endpoint.
        host: Address to listen on; 0.0.0.0 for all.
        port: Port to listen on; 0 for any that is free.
        on_step: Called with what begins, in words, before each step that takes seconds.

    Yields:
        The URL of the endpoint, which answers by then.

    Raises:
        ConfigError: The address cannot be listened on, a file of API keys is wrong, or there is no processor.
        DbdRayError: The application does not start, for instance for want of its model.
    """
    load_keys(config.keys_file)  # what is wrong with them need not wait for Ray
    cpus = int(ray.cluster_resources().get("CPU", 0))
    if not cpus:
        raise ConfigError(
            "Ray finds no whole processor, and the endpoint needs one: give the machine or container more"
        )
    port = _free(host, port)
    logging.getLogger("ray.serve").setLevel(logging.WARNING)
    quiet = LoggingConfig(log_level="WARNING", enable_access_log=False)
    try:
        try:
            on_step(f"starting Ray Serve on {host}:{port}")
            options = HTTPOptions(host=host, port=port)
            serve.start(proxy_location="HeadOnly", http_options=options, logging_config=quiet)
            on_step(f"loading {config.model} into a detector; the first time on a machine it measures the engines")
            serve.run(build_for_one_machine(config, cpus), name=APPLICATION, logging_config=quiet)
        except (RuntimeError, TimeoutError, RayError) as error:
            raise DbdRayError(f"the endpoint did not start: {_why(error)}") from error
        here = "127.0.0.1" if host in ("0.0.0.0", "::") else host
        yield f"http://{f'[{here}]' if ':' in here else here}:{port}"
    finally:
        with redirect_stdout(io.StringIO()):  # Ray prints there that its controller, which ends itself, had failed
            serve.shutdown()


def _free(host: str, port: int) -> int:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as Serve does: a port in TIME_WAIT is free
            probe.bind((host, port))
            return int(probe.getsockname()[1])
    except OSError as error:
        raise ConfigError(f"{host}:{port} cannot be listened on ({error.strerror}): choose another --port") from None


def _why(error: Exception) -> str:
    status = None if isinstance(error, RayError) else serve.status().applications.get(APPLICATION)
    messages = [one.message for one in status.deployments.values() if one.message] if status else []
    return "; ".join(dict.fromkeys(messages)) or str(error)
