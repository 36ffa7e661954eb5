"""Before teaching begins: which teacher it is, and whether the cluster has room for it."""

from typing import NamedTuple

import ray

from dbd_ray.config import TeachConfig
from dbd_ray.errors import ConfigError, DbdRayError, TeacherError
from dbd_ray.teachers import load_teacher, uses_gpu


class TeacherInfo(NamedTuple):
    """A teacher as its actors will load it.

    Attributes:
        key: name@fingerprint.
        column: What `depth_teacher` says: the key, and which pictures it saw if not the originals.
        input_size: (height, width) that it wants; None: any.
        gpus: GPUs of each actor.
        device: Where it runs; stated, since Ray hides GPUs only from actors that asked for another share of them.
    """

    key: str
    column: str
    input_size: tuple[int, int] | None
    gpus: float
    device: str


def find_teacher(config: TeachConfig) -> TeacherInfo:
    """Load the teacher once where its actors will run, so that what is wrong with it shows before anything starts.

    Raises:
        ConfigError: The cluster has no room for so many teachers.
        TeacherError: It cannot be loaded.
    """
    gpus = _gpus_per_actor(config)
    _check_room(config, gpus)
    device = "cuda" if gpus else "cpu"

    def look() -> TeacherInfo:
        teacher = load_teacher(config.teacher, device=device, precision=config.precision)
        # a small picture stretched is another preprocessing than the photo itself
        seen = "+prepared" if config.pictures == "prepared" else ""
        return TeacherInfo(teacher.key, teacher.key + seen, teacher.input_size, gpus, device)

    try:
        task = ray.remote(look).options(num_cpus=config.cpus_per_actor, num_gpus=gpus, max_retries=0)
        found: TeacherInfo = ray.get(task.remote())
    except ray.exceptions.RayError as error:
        raise own_error(error) or TeacherError(f"{config.teacher}: loading it ended in {error}") from None
    return found


def own_error(error: BaseException | None) -> DbdRayError | None:
    """Find our own error in what Ray makes of it; Ray wraps what a task raised, sometimes more than once."""
    while error is not None and not isinstance(error, DbdRayError):
        error = getattr(error, "cause", None) or error.__cause__
    return error


def _gpus_per_actor(config: TeachConfig) -> float:
    if not uses_gpu(config.teacher):
        if config.gpus_per_actor:
            raise ConfigError(f"gpus_per_actor={config.gpus_per_actor:g}: {config.teacher} runs on the CPU; remove it")
        return 0.0
    if config.gpus_per_actor is not None:
        return config.gpus_per_actor
    return 1.0 if ray.cluster_resources().get("GPU", 0) else 0.0


def _check_room(config: TeachConfig, gpus: float) -> None:
    low, _ = config.actors
    have = ray.cluster_resources()
    needs = {"CPU": low * config.cpus_per_actor + config.cpus_per_decoder, "GPU": low * gpus}
    for kind, need in needs.items():
        if need > have.get(kind, 0):
            raise ConfigError(
                f"actors: {low} teachers and one decoder need {need:g} {kind}s, the cluster has {have.get(kind, 0):g}: "
                f"lower actors, {kind.lower()}s_per_actor or cpus_per_decoder, or add nodes first"
            )
