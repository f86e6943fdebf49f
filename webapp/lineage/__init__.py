"""Lineage: candidates that become parents, and runs that follow each other."""
