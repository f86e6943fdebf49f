"""Addresses of a run's people."""

from django.urls import path

from webapp.sharing import views

app_name = "sharing"
urlpatterns = [
    path("runs/<uuid:run_id>/people/", views.share, name="share"),
    path("runs/<uuid:run_id>/people/<int:share_id>/remove/", views.unshare, name="unshare"),
]
