"""Addresses of the Hub's room."""

from django.urls import path, register_converter

from webapp.hub.views import downloads, finding, models, removals, similarities

app_name = "hub"


class RepoPart:
    """One half of a repository's name."""

    regex = r"[A-Za-z0-9][\w.-]{0,95}"

    def to_python(self, value: str) -> str:
        return value

    def to_url(self, value: str) -> str:
        return value


register_converter(RepoPart, "repo_part")
urlpatterns = [
    path("hub/", finding.find, name="find"),
    path("hub/results/", finding.results, name="results"),
    path("hub/packs/<slug:pack_name>/", downloads.pack, name="pack"),
    path("hub/downloads/", downloads.downloads, name="downloads"),
    path("hub/downloads/start/", downloads.start, name="start"),
    path("hub/downloads/<int:download_id>/pause/", downloads.pause, name="pause"),
    path("hub/downloads/<int:download_id>/resume/", downloads.resume, name="resume"),
    path("hub/downloads/<int:download_id>/cancel/", downloads.cancel, name="cancel"),
    path("hub/models/<repo_part:author>/<repo_part:name>/", models.model, name="model"),
    path("hub/models/<repo_part:author>/<repo_part:name>/look/", models.look, name="look"),
    path("hub/models/<repo_part:author>/<repo_part:name>/fit/", models.fit, name="fit"),
    path("models/<int:parent_id>/files/remove/", removals.remove, name="remove"),
    path("models/similarity/", similarities.similarity, name="similarity"),
    path("models/similarity/<int:similarity_id>/", similarities.similarity_state, name="similarity_state"),
    path("models/similarity/<int:similarity_id>/numbers.json", similarities.similarity_data, name="similarity_data"),
]
