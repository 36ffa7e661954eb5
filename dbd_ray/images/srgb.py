"""Conversion of sRGB bytes to linear light and back (IEC 61966-2-1): blur and noise are linear in light only."""

import cv2
import numpy as np


def srgb_to_linear(image: np.ndarray) -> np.ndarray:
    """Turn sRGB bytes, uint8 of any shape, into linear light, float32 in [0,1]."""
    value = np.arange(256) / 255
    table = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4).astype(np.float32)
    return table[image]


def linear_to_srgb(linear: np.ndarray) -> np.ndarray:
    """Turn linear light, float32 of any shape, into sRGB bytes, uint8; values outside [0,1] are clipped."""
    light = linear.clip(0, 1)
    encoded = np.where(light <= 0.0031308, light * 12.92, 1.055 * cv2.pow(light, 1 / 2.4) - 0.055)
    return (encoded * 255 + 0.5).astype(np.uint8)
