"""Runs that their owners share, and who may do what with a run."""
