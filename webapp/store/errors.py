"""What can be wrong with the store and with what comes from it. Messages are for people: what, and what happens next."""

from __future__ import annotations


class StoreError(Exception):
    """It does not answer, refuses, or has not got what it should have."""


class WrongFileError(StoreError):
    """A file in it is missing or is not what its name says. `file` is its name."""

    def __init__(self, file: str, message: str) -> None:
        super().__init__(message)
        self.file = file
