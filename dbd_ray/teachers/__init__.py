"""Depth teachers behind one protocol: `load_teacher("litert:pydnetpp.tflite").predict(photos)`."""

from dbd_ray.teachers.base import DepthTeacher, LargerIs, robust_scale
from dbd_ray.teachers.registry import TEACHERS, load_teacher, teacher_help, uses_gpu
from dbd_ray.teachers.request import resolve_spec

__all__ = [
    "TEACHERS",
    "DepthTeacher",
    "LargerIs",
    "load_teacher",
    "resolve_spec",
    "robust_scale",
    "teacher_help",
    "uses_gpu",
]
