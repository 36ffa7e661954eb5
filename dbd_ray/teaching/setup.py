"""The setup of a teaching run: GPUs and room for the actors, and the teacher loaded once where they will run."""

from typing import NamedTuple

import ray

from dbd_ray.config import TeachConfig
from dbd_ray.errors import ConfigError, TeacherError, own_error
from dbd_ray.names import PrecisionName
from dbd_ray.teachers import TeacherSpec, load_teacher, teacher_kind


class PlacedTeacher(NamedTuple):
    """A teacher that can be loaded, with everything that its actors need to load the same one.

    Attributes:
        spec: The teacher, with an absolute path.
        device: Where it runs, "cuda" (the GPU that Ray assigns) or "cpu"; never "auto", since Ray hides GPUs only from
            actors that asked for another share of them.
        precision: As for `load_teacher`.
        gpus: GPUs of each actor.
        key: name@fingerprint.
        column: Value of the column `depth_teacher`: the key, with "+prepared" if it sees the prepared pictures.
        input_size: (height, width) of its input, px; None: any.
    """

    spec: TeacherSpec
    device: str
    precision: PrecisionName
    gpus: float
    key: str
    column: str
    input_size: tuple[int, int] | None


def find_teacher(config: TeachConfig, spec: TeacherSpec) -> PlacedTeacher:
    """Load the teacher once where its actors will run, so that its errors show before the pipeline starts.

    Args:
        config: Number of actors and their shares of the machines.
        spec: The teacher, with an absolute path.

    Raises:
        ConfigError: The cluster has no room for so many teachers, or a setting has no effect on this teacher.
        TeacherError: There is no such kind, or the teacher cannot be loaded.
    """
    gpus = _gpus_per_actor(config, spec)
    _check_room(config, gpus)
    device = "cuda" if gpus else "cpu"

    def look() -> PlacedTeacher:
        teacher = load_teacher(spec, device=device, precision=config.precision)
        # a small picture stretched is another preprocessing than the photo itself
        seen = "+prepared" if config.pictures == "prepared" else ""
        return PlacedTeacher(
            spec=spec,
            device=device,
            precision=config.precision,
            gpus=gpus,
            key=teacher.key,
            column=teacher.key + seen,
            input_size=teacher.input_size,
        )

    try:
        task = ray.remote(look).options(num_cpus=config.cpus_per_actor, num_gpus=gpus, max_retries=0)
        found: PlacedTeacher = ray.get(task.remote())
    except ray.exceptions.RayError as error:
        raise own_error(error) or TeacherError(f"{spec.text}: loading it ended in {error}") from None
    return found


def _gpus_per_actor(config: TeachConfig, spec: TeacherSpec) -> float:
    if not teacher_kind(spec).uses_gpu:
        if config.gpus_per_actor:
            raise ConfigError(f"gpus_per_actor={config.gpus_per_actor:g}: {spec.text} runs on the CPU; remove it")
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
