"""Addresses of a run's people, and of projects."""

from django.urls import path

from webapp.sharing import project_views, views

app_name = "sharing"
urlpatterns = [
    path("runs/<uuid:run_id>/people/", views.share, name="share"),
    path("runs/<uuid:run_id>/people/<int:share_id>/remove/", views.unshare, name="unshare"),
    path("runs/<uuid:run_id>/project/", project_views.place, name="place"),
    path("projects/", project_views.projects, name="projects"),
    path("projects/<uuid:project_id>/", project_views.project, name="project"),
    path("projects/<uuid:project_id>/rename/", project_views.rename, name="project_rename"),
    path("projects/<uuid:project_id>/delete/", project_views.delete, name="project_delete"),
    path("projects/<uuid:project_id>/members/", project_views.invite, name="project_member"),
    path(
        "projects/<uuid:project_id>/members/<int:membership_id>/remove/",
        project_views.remove_member,
        name="project_leave",
    ),
    path("projects/<uuid:project_id>/runs/<uuid:run_id>/remove/", project_views.displace, name="project_displace"),
]
