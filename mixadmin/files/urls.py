from django.urls import path

from . import views

app_name = "files"
urlpatterns = [
    path("", views.upload_list, name="list"),
    path("upload/", views.upload_create, name="upload"),
    path("uploads/<uuid:pk>/remove/", views.upload_remove, name="upload_remove"),
    path("buckets/", views.bucket_list, name="bucket_list"),
    path("buckets/new/", views.bucket_create, name="bucket_create"),
    path("buckets/<int:pk>/", views.bucket_detail, name="bucket_detail"),
    path("buckets/<int:pk>/timeline/", views.bucket_timeline, name="bucket_timeline"),
    path("buckets/<int:pk>/edit/", views.bucket_edit, name="bucket_edit"),
    path(
        "buckets/<int:pk>/credentials/",
        views.bucket_credentials,
        name="bucket_credentials",
    ),
    path("buckets/<int:pk>/verify/", views.bucket_verify, name="bucket_verify"),
    path("buckets/<int:pk>/delete/", views.bucket_delete, name="bucket_delete"),
    path("buckets/<int:pk>/browse/", views.bucket_browse, name="bucket_browse"),
    path("directories/<str:name>/", views.directory_browse, name="directory_browse"),
]
