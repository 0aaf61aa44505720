from django.urls import path

from . import views

app_name = "warehouse"
IMPORT = "imports/<int:pk>/"
urlpatterns = [
    path("sources/", views.source_list, name="source_list"),
    path("sources/new/", views.source_create, name="source_create"),
    path("sources/<int:pk>/", views.source_detail, name="source_detail"),
    path("sources/<int:pk>/edit/", views.source_edit, name="source_edit"),
    path("sources/<int:pk>/delete/", views.source_delete, name="source_delete"),
    path("sources/<int:pk>/forget/", views.source_forget, name="source_forget"),
    path("imports/", views.import_list, name="import_list"),
    path("imports/new/", views.import_create, name="import_create"),
    path(IMPORT, views.import_detail, name="import_detail"),
    path(f"{IMPORT}run/", views.import_run, name="import_run"),
    path(f"{IMPORT}pause/", views.import_pause, name="import_pause"),
    path(f"{IMPORT}resume/", views.import_resume, name="import_resume"),
    path(f"{IMPORT}frequency/", views.import_frequency, name="import_frequency"),
    path(f"{IMPORT}databricks/", views.import_databricks, name="import_databricks"),
    path(f"{IMPORT}rename/", views.import_rename, name="import_rename"),
    path(f"{IMPORT}delete/", views.import_delete, name="import_delete"),
    path(f"{IMPORT}forget/", views.import_forget, name="import_forget"),
    path(f"{IMPORT}runs/<int:run_pk>/", views.run_detail, name="run_detail"),
    path("adopt/", views.adopt_remote, name="adopt"),
]
