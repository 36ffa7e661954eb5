"""Saving and loading of checkpoints: local folders with `model.safetensors` and `card.json`, without any code."""

import hashlib
import json
import os
import re
import uuid
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Any

import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from dbd_ray.checkpoints.card import FORMAT_VERSION, Card
from dbd_ray.errors import CheckpointError, ConfigError
from dbd_ray.models import FocusNetwork, build_network
from dbd_ray.storage import kind_at

WEIGHTS = "model.safetensors"
CARD = "card.json"
STAGED = ".new"
PICKLES = (".pth", ".pt", ".ckpt", ".bin", ".pkl")


def save_checkpoint(folder: str | Path, network: FocusNetwork, card: Card, *, half: bool = False) -> Card:
    """Write a checkpoint so that a crash at any moment leaves either the old one or the new one.

    The card decides which weights count: the new ones wait beside the old until the new card is in place. What earlier
    crashes left behind is deleted only then, since one of those files may be the old card's weights.

    Args:
        folder: Local folder, made if need be; a checkpoint in it is replaced, other files are left alone.
        network: Built from `card.network`, without any wrapper.
        card: Card of the network; `parameters` and `fingerprint` are filled in.
        half: Store kernels in float16, half the size; loading gives float32 again, rounded. Normalisation stays exact.

    Returns:
        The card as written.

    Raises:
        CheckpointError: The folder is not local, cannot be written or has such files of somebody else's, or the card
            is not JSON.
    """
    folder = _local(folder)
    _require_place(folder)
    # save_file would leave the file readable by its owner alone
    weights = save({name: _stored(tensor, half) for name, tensor in network.state_dict().items()})
    parameters = sum(parameter.numel() for parameter in network.parameters())
    fingerprint = hashlib.sha256(weights).hexdigest()
    card = card.model_copy(update={"parameters": parameters, "fingerprint": fingerprint})
    try:
        text = card.model_dump_json(indent=2) + "\n"
    except ValueError as error:
        raise CheckpointError(f"{folder / CARD}: metrics and provenance must be plain JSON values ({error})") from error
    staged, staged_card = (folder / name for name in staged_names(WEIGHTS, CARD))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        staged.write_bytes(weights)
        staged_card.write_text(text, encoding="utf-8")
        staged_card.replace(folder / CARD)
        staged.replace(folder / WEIGHTS)
        for left in filter(is_staged, folder.iterdir()):
            left.unlink(missing_ok=True)
    except OSError as error:
        raise CheckpointError(f"{folder}: cannot be written ({error}); choose a folder that can") from error
    return card


def load_checkpoint(folder: str | Path) -> tuple[FocusNetwork, Card]:
    """Rebuild the network of a checkpoint.

    Args:
        folder: Local folder that `save_checkpoint` wrote.

    Returns:
        The network, on the CPU and in eval mode, and its card.

    Raises:
        CheckpointError: A file is missing, damaged, of an unknown format, or does not fit the card.
    """
    folder = _local(folder)
    if folder.suffix in PICKLES:
        raise CheckpointError(
            f"{folder}: pickled weights are not loaded, they could run code; convert an authors' release with "
            "`dbd-ray import`, and then give the folder that it writes"
        )
    if kind_at(folder) != "folder":
        raise CheckpointError(f"{folder}: no such folder; give one that holds {CARD} and {WEIGHTS}")
    card = read_card(folder)
    path = find_weights(card, folder)
    try:
        weights = load_file(path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path}: cannot be read as safetensors ({error}); copy the checkpoint again") from error
    network = _build(card, folder)
    _fill(network, weights, path)
    return network.eval(), card


def read_card(folder: Path) -> Card:
    """Read the card of a checkpoint.

    Raises:
        CheckpointError: It is missing, damaged, or of an unknown format.
    """
    path = folder / CARD
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(f"{path}: is missing; give a folder that holds {CARD} and {WEIGHTS}") from None
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: cannot be read as JSON ({error}); copy the checkpoint again") from error
    version = read.get("format_version") if isinstance(read, dict) else None
    if version != FORMAT_VERSION:
        raise CheckpointError(
            f"{path}: format_version is {version!r}, this dbd_ray reads {FORMAT_VERSION}; "
            "install the version of dbd_ray that wrote it, or save the checkpoint again"
        )
    try:
        return Card.model_validate(read)
    except ValidationError as error:
        fields = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise CheckpointError(f"{path}: {fields}; restore the card that was saved with the weights") from None


def find_weights(card: Card, folder: Path) -> Path:
    """Find the undamaged weights that belong to a card.

    Raises:
        CheckpointError: They are missing, or damaged.
    """
    path = folder / WEIGHTS
    try:
        # a staged file counts where saving was cut off right after the card
        for candidate in (path, *sorted(folder.glob(f"{WEIGHTS}.*{STAGED}"))):
            if candidate.exists() and _sha256(candidate) == card.fingerprint:
                return candidate
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error}); check its permissions") from error
    if not path.exists():
        raise CheckpointError(f"{path}: is missing; copy it from where {CARD} comes from")
    raise CheckpointError(
        f"{path}: its SHA-256 is not the fingerprint in {CARD}, so it is damaged or another model's; "
        "copy both files again from the same checkpoint"
    )


def staged_names(*names: str) -> tuple[str, ...]:
    """Give new unique names under which files wait beside the old ones of a checkpoint."""
    token = uuid.uuid4().hex
    return tuple(f"{name}.{token}{STAGED}" for name in names)


def is_staged(path: PurePath) -> bool:
    """Tell whether a file has a name of `staged_names`: it waits, or a crash left it waiting."""
    return re.fullmatch(rf".+\.[0-9a-f]{{32}}\{STAGED}", path.name) is not None


def tensor_problems(given: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> list[str]:
    """List the tensors that are missing, unexpected or of another shape, one line each.

    Args:
        given: Tensors by name.
        wanted: The network's own, by the same names.
    """
    problems = [f"missing: {name}" for name in wanted if name not in given]
    problems += [f"unexpected: {name}" for name in given if name not in wanted]
    problems += [
        f"{name} is {tuple(tensor.shape)}, needed {tuple(wanted[name].shape)}"
        for name, tensor in given.items()
        if name in wanted and tensor.shape != wanted[name].shape
    ]
    return problems


def _stored(tensor: Tensor, half: bool) -> Tensor:
    # one-dimensional: norms and biases, small, and running variances could leave float16's range
    tensor = tensor.detach().cpu().contiguous()
    return tensor.half() if half and tensor.ndim > 1 else tensor


def _build(card: Card, folder: Path) -> FocusNetwork:
    try:
        # the random weights are about to be replaced: do not let them move the caller's seed
        with torch.random.fork_rng(devices=[]):
            return build_network(card.network)
    except ConfigError as error:
        raise CheckpointError(
            f"{folder / CARD}: the network cannot be built ({error}); use the dbd_ray and timm versions that saved it"
        ) from error


def _fill(network: FocusNetwork, weights: dict[str, Tensor], path: Path) -> None:
    wanted: dict[str, Any] = network.state_dict()
    problems = tensor_problems(weights, wanted)
    if problems:
        shown = "\n".join(f"  - {problem}" for problem in problems[:20])
        raise CheckpointError(
            f"{path}: {len(problems)} tensor(s) do not fit the network in {CARD}:\n{shown}\n"
            "use the dbd_ray and timm versions that saved it, or copy both files from the same checkpoint"
        )
    network.load_state_dict(weights)


def _require_place(folder: Path) -> None:
    there = [name for name in (CARD, WEIGHTS) if os.path.lexists(folder / name)]
    try:
        card = json.loads((folder / CARD).read_bytes()) if there else {}
    except (OSError, ValueError, RecursionError):
        card = None
    if there and not (isinstance(card, dict) and {"format_version", "fingerprint"} <= card.keys()):
        raise CheckpointError(
            f"{folder}: holds {' and '.join(there)} that are no checkpoint, and would lose them: choose another folder"
        )


def _local(folder: str | Path) -> Path:
    if "://" in str(folder):
        raise CheckpointError(f"{folder}: checkpoints are read and written locally; copy it to or from a local folder")
    return Path(folder)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
