"""Merging language models and searching for good merges: pure computation, usable from a notebook.

Knows no web framework, no queue and no database. Files that the web process reads do not import torch when imported;
those that do say so.
"""
