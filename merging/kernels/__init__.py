"""Fused merges."""
