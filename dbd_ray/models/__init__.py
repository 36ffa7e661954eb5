"""Networks: encoders, blocks and architectures, and the building of one by its name in a configuration."""

from dbd_ray.models.build import architectures, build_network, register_model
from dbd_ray.models.dbdgan import DBDGANStudent, DBDGANTeacher
from dbd_ray.models.depth_distillation import DepthDistillation
from dbd_ray.models.encoder_modules import Encoder
from dbd_ray.models.encoders import build_encoder
from dbd_ray.models.lite import Lite
from dbd_ray.models.output import FocusNetwork, NetworkOutput

__all__ = [
    "DBDGANStudent",
    "DBDGANTeacher",
    "DepthDistillation",
    "Encoder",
    "FocusNetwork",
    "Lite",
    "NetworkOutput",
    "architectures",
    "build_encoder",
    "build_network",
    "register_model",
]
