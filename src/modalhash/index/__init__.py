"""Search over codes."""

from modalhash.index.hits import Hits
from modalhash.index.items import Items, Show
from modalhash.index.memory import Index
from modalhash.index.store import Store, StoreLocked

__all__ = ["Hits", "Index", "Items", "Show", "Store", "StoreLocked"]
