"""The application: both deployments, bound together."""

from typing import cast

from ray.serve import Application, Deployment

from dbd_ray.config.serve import ServeConfig
from dbd_ray.serving.detector import FocusDetector
from dbd_ray.serving.gateway import FocusGateway


def build(args: ServeConfig) -> Application:
    """Bind gateway and detector.

    Args:
        args: `args` of the application in a Serve config file, or `serve run serve.app:build name=value`.
    """
    # what the decorator makes of the classes, which annotations do not show
    detector = cast(Deployment, FocusDetector).bind(
        args.model,
        device=args.device,
        engine=args.engine,
        batch_megapixels=args.batch_megapixels,
        batch_wait_ms=args.batch_wait_ms,
    )
    return cast(Deployment, FocusGateway).bind(args, detector)
