"""The static half: graphs, their text, their interpreter and their views."""

from . import constant, graph, interpreter, region, text, views

__all__ = ["constant", "graph", "interpreter", "region", "text", "views"]
