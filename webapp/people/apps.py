"""The trail and the notices."""

from django.apps import AppConfig


class PeopleConfig(AppConfig):
    name = "webapp.people"
    label = "people"

    def ready(self) -> None:
        from webapp.people import signing_in  # noqa: F401  (it listens)
