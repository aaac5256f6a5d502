"""Effects: statements that change Python state, set apart from the program and run on each call, in order."""

from .happening import Happening
from .perform import Effect, Pending, effects_of
from .relied import Written, relied_on
from .watch import Watch

__all__ = ["Effect", "Happening", "Pending", "Watch", "Written", "effects_of", "relied_on"]
