"""The command that serves on one machine."""

from typing import Annotated

import typer

from dbd_ray.cli.options import Config, Set, given


def serve(
    model: Annotated[
        str | None, typer.Option(help="Packaged model (default: lite), checkpoint folder, or models:/NAME@ALIAS.")
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 opens it to the network.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any that is free.")] = 8000,
    keys_file: Annotated[str | None, typer.Option(help="File of API keys, one per line.")] = None,
    haproxy: Annotated[
        bool, typer.Option("--haproxy", help="HAProxy instead of Ray's own proxy: more photos per second. Linux only.")
    ] = False,
    config: Config = None,
    set_: Set = None,
) -> None:
    """Serve the detector over HTTP, with a page to try it, on this machine until Ctrl-C.

    dbd-ray serve

    curl -H 'Content-Type: image/jpeg' --data-binary @photo.jpg localhost:8000/v1/focus

    On a cluster: serve deploy serve/config.yaml (docs/operations.md).
    """
    from dbd_ray.cli import serve_steps

    options = given(model=model, keys_file=keys_file)
    serve_steps.serve(options, config, set_ or [], host=host, port=port, by_haproxy=haproxy)
