"""Trials: a few questions to one model."""

from django.apps import AppConfig


class TrialsConfig(AppConfig):
    name = "webapp.trials"
    label = "trials"
