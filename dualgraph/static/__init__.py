"""The static half: graphs, their text, their interpreter and their views."""

from . import constants, graph, interpreter, parser, region, text, views

__all__ = ["constants", "graph", "interpreter", "parser", "region", "text", "views"]
