"""Merged models to download."""
