"""Effects: statements that change Python state, set apart from the program and run on each call, in order.

Its modules, in the order in which a statement meets them:

    watch      the statements are seen as they run in the captured call        sight (how frames are seen)
    happening  one run of a statement: what it read and wrote
    vet        whether it may run at the end of a call instead                 kinds (of values), places (looked up),
               acting (what may draw or write tensors), whose (the user's code?), standing (what is around it)
    relied     what that takes for granted, as checks
    perform    the statements run at the end of each compiled call
"""

from .happening import Happening
from .perform import Effect, Pending, effects_of
from .relied import Written, relied_on
from .watch import Watch

__all__ = ["Effect", "Happening", "Pending", "Watch", "Written", "effects_of", "relied_on"]
