"""Checkpoints on this machine and on the Hugging Face hub: found, loaded strictly, saved whole, got and put up."""

from .checkpoint import companions, copy, faulty, find, load, recover, replace, save, shipped

__all__ = ["companions", "copy", "faulty", "find", "load", "recover", "replace", "save", "shipped"]
