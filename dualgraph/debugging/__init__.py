"""Debugging: what a program computes, step by step, and where something went wrong."""

from .checks import Divergence
from .verify import Verification, verify

__all__ = ["Divergence", "Verification", "verify"]
