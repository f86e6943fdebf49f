"""The form of a new run: what it offers, what it begins with, what it asks the engine."""
