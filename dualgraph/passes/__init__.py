"""Passes: functions Graph -> Graph, then Graph -> Schedule and its memory plan."""
