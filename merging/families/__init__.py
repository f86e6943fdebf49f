"""Model families, one file each: a file in this folder with a `FAMILY` can be merged layer by layer."""

from typing import Final

from merging.families.family import Family, Layout, Place, unlisted
from merging.registry import Registry, plugins

families: Final[Registry[Family]] = Registry("model family")

for _module in plugins(__name__):
    if isinstance(_family := getattr(_module, "FAMILY", None), Family):
        families.register(_family.model_type, _family)

__all__ = ["Family", "Layout", "Place", "families", "unlisted"]
