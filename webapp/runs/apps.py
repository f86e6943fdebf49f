"""Runs, their generations, candidates and evaluations; what users do with them."""

from django.apps import AppConfig


class RunsConfig(AppConfig):
    name = "webapp.runs"
    label = "runs"
