"""Depth teachers behind one protocol: `load_teacher("litert:pydnetpp.tflite").predict(photos)`.

Commands list the teachers in their help: nothing heavy is imported here.
"""

from dbd_ray.teachers.kinds import TEACHERS, load_teacher, teacher_help, uses_gpu
from dbd_ray.teachers.request import resolve_spec

__all__ = ["TEACHERS", "load_teacher", "resolve_spec", "teacher_help", "uses_gpu"]
