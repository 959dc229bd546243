"""The doctor: examines a folder of images and masks, says what is odd and proposes a recipe."""

from .diagnosis import Diagnosis, diagnose

__all__ = ["Diagnosis", "diagnose"]
