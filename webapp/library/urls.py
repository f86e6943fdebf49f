"""Addresses of the library."""

from django.urls import path

from webapp.library.views import benchmarks, parents, starters, tasks

app_name = "library"
urlpatterns = [
    path("models/", parents.parents, name="parents"),
    path("models/<int:parent_id>/", parents.parent, name="parent"),
    path("models/<int:parent_id>/hide/", parents.parent_hide, name="parent_hide"),
    path("benchmarks/", benchmarks.benchmarks, name="benchmarks"),
    path("benchmarks/new/", benchmarks.benchmark_new, name="benchmark_new"),
    path("benchmarks/template.<str:form>", benchmarks.benchmark_template, name="benchmark_template"),
    path("starters/", starters.starters, name="starters"),
    path("benchmarks/tasks/", tasks.tasks, name="benchmark_tasks"),
    path("benchmarks/tasks/requests/", tasks.task_requests, name="benchmark_task_requests"),
    path("benchmarks/tasks/request/", tasks.task_request, name="benchmark_task_request"),
    path("benchmarks/tasks/requests/<int:fetch_id>/forget/", tasks.task_forget, name="benchmark_task_forget"),
    path("benchmarks/<int:benchmark_id>/", benchmarks.benchmark, name="benchmark"),
    path("benchmarks/<int:benchmark_id>/deal/", benchmarks.benchmark_deal, name="benchmark_deal"),
    path("benchmarks/<int:benchmark_id>/hide/", benchmarks.benchmark_hide, name="benchmark_hide"),
]
