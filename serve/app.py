"""What `serve run serve.app:build` and serve/config.yaml deploy."""

from dbd_ray.serving.application import build

__all__ = ["build"]
