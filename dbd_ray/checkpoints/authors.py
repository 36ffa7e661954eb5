"""Import of the depth-distillation checkpoints that the paper's authors released (ResNeXt-101 and VGG16)."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from dbd_ray.checkpoints.card import Card, make_card
from dbd_ray.checkpoints.files import tensor_problems
from dbd_ray.config import NetworkConfig
from dbd_ray.errors import CheckpointError
from dbd_ray.models import FocusNetwork, build_network

Architecture = Literal["resnext101", "vgg16"]

BACKBONES = {"resnext101": "resnext101_32x4d", "vgg16": "vgg16"}
IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
INPUT_SIZE = (320, 320)
HOME = "https://github.com/vinthony/depth-distillation"

# modules of one decoder level: ours -> theirs, {n} is the level counted from 1
LEVEL = {
    "squeeze": "deconv{n}.prev",
    "squeeze_norm": "deconv{n}.bn",
    "field.pyramid.stages": "deconv{n}.sk.convs",
    "field.descriptor": "deconv{n}.sk.fc",
    "field.selectors": "deconv{n}.sk.fcs",
    "expand": "deconv{n}.next",
    "expand_norm": "deconv{n}.bn2",
    "focus_head": "classifier{n}.sides.0",
    "depth_head": "classifier{n}.sides.1",
    "attention.inner": "sideatt{n}.conv1",
    "attention.norm": "sideatt{n}.bn",
    "attention.outer": "sideatt{n}.conv2",
}
# modules of one ResNeXt bottleneck; theirs came from Lua Torch, where layers are nested sequences without names
BOTTLENECK = {
    "conv1": "0.0.0.0",
    "bn1": "0.0.0.1",
    "conv2": "0.0.0.3",
    "bn2": "0.0.0.4",
    "conv3": "0.0.1",
    "bn3": "0.0.2",
    "downsample.0": "0.1.0",
    "downsample.1": "0.1.1",
}
REST = {
    "focus_fusion": "fusion",
    "depth_fusion": "fusiond",
    "encoder.features.conv1": "pretrained_net.layer0.0",
    "encoder.features.bn1": "pretrained_net.layer0.1",
}


def import_authors(source: str | Path | Mapping[str, Tensor], architecture: Architecture) -> tuple[FocusNetwork, Card]:
    """Load a depth-distillation network as its authors released it.

    Their networks mark what is in focus (section 3), as ours do: the outputs are used as they are.

    Args:
        source: The released `.pth` file, read without running code from it, or its state dict.
        architecture: Which of the two released networks it is.

    Returns:
        The network, on the CPU and in eval mode, and a card without metrics.

    Raises:
        CheckpointError: The file cannot be read, or its tensors are not this network's; all are listed.
    """
    if architecture not in BACKBONES:
        raise CheckpointError(f"architecture {architecture!r} was not released, choose one of {', '.join(BACKBONES)}")
    where = "state dict" if isinstance(source, Mapping) else str(source)
    tensors = _unwrapped(source if isinstance(source, Mapping) else _read(Path(source)), where)
    config = NetworkConfig.model_validate({"backbone": BACKBONES[architecture], **IMAGENET})
    with torch.random.fork_rng(devices=[]):
        network = build_network(config)
    ours = network.state_dict()
    theirs = {name: authors_name(name) for name in ours}
    _compare(tensors, {theirs[name]: tensor for name, tensor in ours.items()}, where, architecture)
    network.load_state_dict({name: tensors[theirs[name]] for name in ours})
    provenance = {"source": HOME, "file": where, "paper": "arXiv 2007.08113", "trained_on": "CUHK, 604 photos"}
    card = make_card(
        network, config, name=f"depth-distillation-{architecture}", input_size=INPUT_SIZE, provenance=provenance
    )
    return network.eval(), card


def authors_name(name: str) -> str:
    """Translate a parameter name of ours, for instance `levels.0.squeeze.weight` -> `deconv1.prev.weight`."""
    module, _, tensor = name.rpartition(".")
    if module in REST:
        return f"{REST[module]}.{tensor}"
    if level := re.fullmatch(r"levels\.(\d+)\.(.+?)((?:\.\d+)*)", module):
        number, part, index = int(level[1]) + 1, level[2], level[3]
        return f"{LEVEL[part].format(n=number)}{index}.{tensor}"
    if block := re.fullmatch(r"encoder\.features\.layer(\d)\.(\d+)\.(.+)", module):
        stage, number, part = int(block[1]), int(block[2]), block[3]
        # their first stage begins with the max-pool of the stem
        nested = "layer1.1" if stage == 1 else f"layer{stage}"
        return f"pretrained_net.{nested}.{number}.{BOTTLENECK[part]}.{tensor}"
    return name.replace("encoder.features.", "pretrained_net.features.")


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
            f"give the file of this architecture (one of {', '.join(BACKBONES)})"
        )
