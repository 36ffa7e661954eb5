"""The Serve application: gateway and detector, bound together."""

from typing import cast

from ray.serve import Application, Deployment

from dbd_ray.config.serve import ServeConfig
from dbd_ray.serving import focus_detector, gateway

# what the decorator makes of the classes, which annotations do not show
_GATEWAY = cast(Deployment, gateway.FocusGateway)
_DETECTOR = cast(Deployment, focus_detector.FocusDetector)


def build(args: ServeConfig) -> Application:
    """Bind gateway and detector.

    Args:
        args: Settings of the endpoint: `args` of the application in a Serve config file, or name=value behind
            `serve run serve.app:build`.
    """
    return _bound(args, _GATEWAY, _DETECTOR)


def build_for_one_machine(args: ServeConfig, cpus: int) -> Application:
    """Like `build`, with no more replicas than the processors of a small machine have work for.

    Args:
        args: As for `build`.
        cpus: Processors of the machine, at least 1.
    """
    # all replicas are busy at the same time, gateways about half as much as detectors: a second gateway on two
    # processors only had half-full calls to make, which cost a tenth of the photos/s
    return _bound(
        args,
        _at_most(max(1, cpus // 2), _GATEWAY, gateway.AUTOSCALING),
        _at_most(cpus, _DETECTOR, focus_detector.AUTOSCALING),
    )


def _at_most(replicas: int, deployment: Deployment, autoscaling: dict[str, int]) -> Deployment:
    fewer = {**autoscaling, "max_replicas": min(replicas, autoscaling["max_replicas"])}
    return deployment.options(autoscaling_config=fewer)


def _bound(args: ServeConfig, gateways: Deployment, detectors: Deployment) -> Application:
    bound = detectors.bind(
        args.model,
        device=args.device,
        engine=args.engine,
        batch_megapixels=args.batch_megapixels,
        batch_wait_ms=args.batch_wait_ms,
    )
    return gateways.bind(args, bound)
