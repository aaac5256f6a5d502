"""The native guard: whether a call is like one before it, found out without a frame of Python."""
