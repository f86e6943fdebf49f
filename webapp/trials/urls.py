"""Addresses of trials."""

from django.urls import path

from webapp.trials import views

app_name = "trials"
urlpatterns = [
    path("trials/", views.start, name="start"),
    path("trials/<uuid:trial_id>/", views.detail, name="detail"),
    path("trials/<uuid:trial_id>/forget/", views.forget, name="forget"),
]
