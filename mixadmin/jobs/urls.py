from django.urls import path

from . import views

app_name = "jobs"
urlpatterns = [
    path("", views.job_list, name="list"),
    path("bulk/", views.job_bulk, name="bulk"),
    path("<uuid:pk>/", views.job_detail, name="detail"),
    path("<uuid:pk>/retry/", views.job_retry, name="retry"),
    path("<uuid:pk>/cancel/", views.job_cancel, name="cancel"),
    path("<uuid:pk>/decide/", views.job_decide, name="decide"),
    path("<uuid:pk>/dismiss/", views.job_dismiss, name="dismiss"),
]
