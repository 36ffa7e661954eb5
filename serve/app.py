"""What `serve run serve.app:build` deploys from a clone; serve/config.yaml names it by its place in the package."""

from dbd_ray.serving.application import build

__all__ = ["build"]
