"""Import of the networks that both papers' authors released."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

import torch
from torch import Tensor, nn

from dbd_ray.checkpoints.authors_names import of_dbdgan_student, of_dbdgan_teacher, of_depth_distillation
from dbd_ray.checkpoints.card import Card, make_card
from dbd_ray.checkpoints.files import tensor_problems
from dbd_ray.config import NetworkConfig
from dbd_ray.errors import CheckpointError
from dbd_ray.models import FocusNetwork, build_network

Architecture = Literal["resnext101", "vgg16", "dbdgan_teacher", "dbdgan_student"]
INPUT_SIZE = (320, 320)


class Release(NamedTuple):
    """A network as its authors released it.

    Attributes:
        name: Of the checkpoint.
        network: Its configuration.
        translate: Gives the authors' name of a parameter of ours.
        provenance: Entries of the card.
        unused: What names begin with of tensors that their code loads and never uses.
        marks_blur: Whether their maps are high where a photo is out of focus.
    """

    name: str
    network: dict[str, Any]
    translate: Callable[[str], str]
    provenance: dict[str, str]
    unused: tuple[str, ...] = ()
    marks_blur: bool = False


_IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
_PLAIN = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0), "depth": False}
_FIRST_PAPER = {
    "source": "https://github.com/vinthony/depth-distillation",
    "paper": "arXiv 2007.08113",
    "trained_on": "CUHK, 604 photos",
}
_SECOND_PAPER = {
    "source": "https://github.com/Moushumi9medhi/Distill-DBDGAN",
    "paper": "doi 10.1145/3557897",
}
RELEASES: dict[Architecture, Release] = {
    "resnext101": Release(
        "depth-distillation-resnext101",
        {"backbone": "resnext101_32x4d", **_IMAGENET},
        of_depth_distillation,
        _FIRST_PAPER,
    ),
    "vgg16": Release(
        "depth-distillation-vgg16", {"backbone": "vgg16", **_IMAGENET}, of_depth_distillation, _FIRST_PAPER
    ),
    "dbdgan_teacher": Release(
        "dbdgan-teacher",
        {"architecture": "dbdgan_teacher", "backbone": "seresnext101_32x4d", **_PLAIN},
        of_dbdgan_teacher,
        _SECOND_PAPER,
        # the whole classifier beside its stages, attention of other levels, and decoders by transposed convolutions
        unused=("encoder.", *(f"SA2_Ex{level}." for level in range(1, 5)), *(f"dec{n}.deconv." for n in range(1, 5))),
        marks_blur=True,
    ),
    "dbdgan_student": Release(
        "dbdgan-student",
        {"architecture": "dbdgan_student", "backbone": "tf_efficientnet_b3", **_PLAIN},
        of_dbdgan_student,
        _SECOND_PAPER,
        marks_blur=True,
    ),
}


def import_authors(source: str | Path | Mapping[str, Tensor], architecture: Architecture) -> tuple[FocusNetwork, Card]:
    """Load a network as the authors of one of the two papers released it; ours marks what is in focus in any case.

    Args:
        source: The released `.pth` file, read without running code from it, or its state dict.
        architecture: Which of the released networks it is, see `RELEASES`.

    Returns:
        The network, on the CPU and in eval mode, and a card without metrics.

    Raises:
        CheckpointError: The file cannot be read, or its tensors are not this network's; all are listed.
    """
    if architecture not in RELEASES:
        raise CheckpointError(f"architecture {architecture!r} was not released, choose one of {', '.join(RELEASES)}")
    release = RELEASES[architecture]
    where = "state dict" if isinstance(source, Mapping) else str(source)
    tensors = _unwrapped(source if isinstance(source, Mapping) else _read(Path(source)), where)
    config = NetworkConfig.model_validate(release.network)
    with torch.random.fork_rng(devices=[]):
        network = build_network(config)
    ours = network.state_dict()
    theirs = {name: release.translate(name) for name in ours}
    used = {name: tensor for name, tensor in tensors.items() if not name.startswith(release.unused)}
    _compare(used, {theirs[name]: tensor for name, tensor in ours.items()}, where, architecture)
    if damaged := [theirs[name] for name in ours if not tensors[theirs[name]].isfinite().all()]:
        raise CheckpointError(f"{where}: not finite in {', '.join(damaged[:5])}: the file is damaged, copy it again")
    network.load_state_dict({name: tensors[theirs[name]] for name in ours})
    if release.marks_blur:
        _turn_around(network)
    provenance = {**release.provenance, "file": where}
    card = make_card(network, config, name=release.name, input_size=INPUT_SIZE, provenance=provenance)
    return network.eval(), card


@torch.no_grad()
def _turn_around(network: FocusNetwork) -> None:
    for parameter in cast(nn.Module, network.focus_head).parameters():
        parameter.neg_()


def _read(path: Path) -> Mapping[str, Any]:
    try:
        read = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise CheckpointError(f"{path}: no such file; give the authors' .pth file") from None
    except Exception as error:
        first_line = str(error).partition("\n")[0]
        raise CheckpointError(
            f"{path}: is no file of plain torch tensors ({first_line}); download the authors' .pth again"
        ) from error
    if not isinstance(read, Mapping):
        raise CheckpointError(f"{path}: holds a {type(read).__name__}, not named tensors; give the authors' .pth file")
    return read


def _unwrapped(read: Mapping[str, Any], where: str) -> dict[str, Tensor]:
    # trainers save it under a key of its own, DataParallel puts "module." before each name
    inner = read.get("state_dict", read)
    if not isinstance(inner, Mapping):
        raise CheckpointError(f"{where}: state_dict holds no named tensors; give the authors' .pth file")
    tensors = {str(name).removeprefix("module."): tensor for name, tensor in inner.items()}
    strangers = [name for name, tensor in tensors.items() if not isinstance(tensor, Tensor)]
    if strangers:
        raise CheckpointError(f"{where}: {', '.join(strangers[:20])} are no tensors; give the network's state dict")
    return tensors


def _compare(given: Mapping[str, Tensor], wanted: Mapping[str, Tensor], where: str, architecture: str) -> None:
    problems = tensor_problems(given, wanted)
    if problems:
        lines = "\n".join(f"  - {problem}" for problem in problems)
        raise CheckpointError(
            f"{where}: {len(problems)} tensor(s) are not those of the released {architecture} network:\n{lines}\n"
            f"give the file of this architecture (one of {', '.join(RELEASES)})"
        )
