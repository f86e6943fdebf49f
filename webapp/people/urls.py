"""Addresses of the trail, of notices and where they go, and of links to a run."""

from django.urls import path

from webapp.people import channel_views, link_views, views

app_name = "people"
urlpatterns = [
    path("trail/", views.trail, name="trail"),
    path("notices/", views.notes, name="notices"),
    path("notices/seen/", views.seen, name="seen"),
    path("account/channels/", channel_views.channels, name="channels"),
    path("account/channels/<int:channel_id>/test/", channel_views.test, name="channel_test"),
    path("account/channels/<int:channel_id>/remove/", channel_views.remove, name="channel_remove"),
    path("runs/<uuid:run_id>/links/", link_views.links, name="links"),
    path("runs/<uuid:run_id>/links/<int:link_id>/revoke/", link_views.revoke, name="link_revoke"),
    path("shared/<str:key>/", link_views.shared, name="shared"),
]
