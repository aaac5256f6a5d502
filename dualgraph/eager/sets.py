"""Sets and searching: unique elements, counts, places in sorted order."""
from __future__ import annotations
