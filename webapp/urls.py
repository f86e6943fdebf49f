"""Every address of the site. The rooms keep their own."""

from django.urls import include, path

from webapp.system.views import health, metrics

urlpatterns = [
    path("", include("webapp.runs.urls")),
    path("", include("webapp.analysis.urls")),
    path("", include("webapp.library.urls")),
    path("", include("webapp.accounts.urls")),
    path("", include("webapp.api.urls")),
    path("", include("webapp.exports.urls")),
    path("", include("webapp.hub.urls")),
    path("", include("webapp.lineage.urls")),
    path("", include("webapp.marks.urls")),
    path("", include("webapp.people.urls")),
    path("", include("webapp.sharing.urls")),
    path("", include("webapp.trials.urls")),
    path("system/", include("webapp.system.urls")),
    path("healthz", health, name="health"),
    path("metrics", metrics, name="metrics"),
]
handler500 = "webapp.system.errors.server_error"
