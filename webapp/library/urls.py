"""Addresses of the library."""

from django.urls import path

from webapp.library import views

app_name = "library"
urlpatterns = [
    path("models/", views.parents, name="parents"),
    path("models/<int:parent_id>/hide/", views.parent_hide, name="parent_hide"),
    path("benchmarks/", views.benchmarks, name="benchmarks"),
    path("benchmarks/<int:benchmark_id>/", views.benchmark, name="benchmark"),
    path("benchmarks/<int:benchmark_id>/hide/", views.benchmark_hide, name="benchmark_hide"),
]
