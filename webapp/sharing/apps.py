"""Runs that their owners share, and who may do what with a run."""

from django.apps import AppConfig


class SharingConfig(AppConfig):
    name = "webapp.sharing"
    label = "sharing"
