from django.urls import path

from . import views

app_name = "ingestion"
urlpatterns = [
    path("", views.ingestion_list, name="list"),
    path("bulk/", views.ingestion_bulk, name="bulk"),
    path("new/", views.ingestion_create, name="create"),
    path("live/", views.live_events, name="live"),
    path("<int:pk>/", views.ingestion_detail, name="detail"),
    path("<int:pk>/files/", views.file_list, name="files"),
    path("<int:pk>/findings/", views.findings, name="findings"),
    path("<int:pk>/timeline/", views.timeline_page, name="timeline"),
    path("<int:pk>/configuration/", views.configuration, name="configuration"),
    path("<int:pk>/again/", views.ingestion_copy, name="copy"),
    path("<int:pk>/rejected/", views.rejected, name="rejected"),
    path("<int:pk>/rejected/download/", views.rejected_download, name="download"),
    path("<int:pk>/batches/<int:batch_pk>/", views.batch_decide, name="decide"),
    *(
        path(f"<int:pk>/{verb}/", views.ingestion_change, {"verb": verb}, name=verb)
        for verb in views.CHANGES
    ),
]
