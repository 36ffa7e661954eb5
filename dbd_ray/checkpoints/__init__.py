"""Checkpoints: weights in safetensors and a card, the import of authors' weights, and finding one by its name."""

from dbd_ray.checkpoints.authors import import_authors
from dbd_ray.checkpoints.card import Card, make_card
from dbd_ray.checkpoints.files import load_checkpoint, save_checkpoint
from dbd_ray.checkpoints.find import find_checkpoint, opened_checkpoint, packaged_models

__all__ = [
    "Card",
    "find_checkpoint",
    "import_authors",
    "load_checkpoint",
    "make_card",
    "opened_checkpoint",
    "packaged_models",
    "save_checkpoint",
]
