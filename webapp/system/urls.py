"""The addresses of the system page."""

from django.urls import path

from webapp.system import views

app_name = "system"
urlpatterns = [
    path("", views.page, name="page"),
    path("pills/", views.pills, name="pills"),
    path("reclaim/", views.reclaim, name="reclaim"),
    path("workers/<str:worker>/drain/", views.drain, name="drain"),
    path("workers/<str:worker>/resume/", views.resume, name="resume"),
]
