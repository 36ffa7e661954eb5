"""The application: both deployments, bound together."""

from typing import cast

from ray.serve import Application, Deployment

from dbd_ray.config.serve import ServeConfig
from dbd_ray.serving import detector, gateway


def build(args: ServeConfig) -> Application:
    """Bind gateway and detector.

    Args:
        args: `args` of the application in a Serve config file, or `serve run serve.app:build name=value`.
    """
    # what the decorator makes of the classes, which annotations do not show
    return _bound(args, cast(Deployment, gateway.FocusGateway), cast(Deployment, detector.FocusDetector))


def build_for(args: ServeConfig, cpus: int) -> Application:
    """Like `build`, with as many replicas at most as the processors of one machine have work for.

    Args:
        args: As for `build`.
        cpus: Of the machine, at least 1.
    """
    # a photo takes a gateway half of what it takes a detector of one thread, and both are busy at the same time: more
    # gateways would only have smaller calls to make
    most = {"max_replicas": max(1, cpus // 2)}, {"max_replicas": max(1, cpus)}
    return _bound(
        args,
        cast(Deployment, gateway.FocusGateway).options(autoscaling_config=gateway.AUTOSCALING | most[0]),
        cast(Deployment, detector.FocusDetector).options(autoscaling_config=detector.AUTOSCALING | most[1]),
    )


def _bound(args: ServeConfig, of_gateway: Deployment, of_detector: Deployment) -> Application:
    bound = of_detector.bind(
        args.model,
        device=args.device,
        engine=args.engine,
        batch_megapixels=args.batch_megapixels,
        batch_wait_ms=args.batch_wait_ms,
    )
    return of_gateway.bind(args, bound)
