"""Merge methods, one file each: a file in this folder with a `METHOD` is a method everywhere, in forms, genomes and recipes."""

from typing import Final

from merging.methods.method import Method
from merging.registry import Registry, plugins

methods: Final[Registry[Method]] = Registry("merge method")

for _module in plugins(__name__):
    if isinstance(_method := getattr(_module, "METHOD", None), Method):
        methods.register(_method.name, _method)
