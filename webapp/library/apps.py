"""The library: parents and benchmarks, what a user chooses from."""

from django.apps import AppConfig


class LibraryConfig(AppConfig):
    name = "webapp.library"
    label = "library"
