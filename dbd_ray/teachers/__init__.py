"""Depth teachers behind one protocol: `load_teacher("litert:pydnetpp.tflite").predict(photos)`.

Importing it brings nothing heavy: the help of the command line lists the teachers.
"""

from dbd_ray.teachers.kinds import TEACHER_KINDS, load_teacher, teacher_help, teacher_kind
from dbd_ray.teachers.spec import TeacherSpec

__all__ = ["TEACHER_KINDS", "TeacherSpec", "load_teacher", "teacher_help", "teacher_kind"]
