from django.urls import path

from . import items, lists, views

app_name = "warehouse"
SOURCE = "sources/<int:pk>/"
IMPORT = "imports/<int:pk>/"
urlpatterns = [
    path("sources/", lists.source_list, name="source_list"),
    path("sources/new/", views.source_create, name="source_create"),
    path(SOURCE, items.source_detail, name="source_detail"),
    path(f"{SOURCE}timeline/", items.source_timeline, name="source_timeline"),
    path(
        f"{SOURCE}configuration/",
        items.source_configuration,
        name="source_configuration",
    ),
    path(f"{SOURCE}edit/", views.source_edit, name="source_edit"),
    path(f"{SOURCE}delete/", views.source_delete, name="source_delete"),
    path(f"{SOURCE}forget/", views.source_forget, name="source_forget"),
    path("imports/", lists.import_list, name="import_list"),
    path("imports/bulk/", lists.import_bulk, name="import_bulk"),
    path("imports/new/", views.import_create, name="import_create"),
    path(IMPORT, items.import_detail, name="import_detail"),
    path(f"{IMPORT}runs/", items.import_runs, name="import_runs"),
    path(f"{IMPORT}timeline/", items.import_timeline, name="import_timeline"),
    path(
        f"{IMPORT}configuration/",
        items.import_configuration,
        name="import_configuration",
    ),
    path(f"{IMPORT}run/", views.import_run, name="import_run"),
    path(f"{IMPORT}pause/", views.import_pause, name="import_pause"),
    path(f"{IMPORT}resume/", views.import_resume, name="import_resume"),
    path(f"{IMPORT}frequency/", views.import_frequency, name="import_frequency"),
    path(f"{IMPORT}databricks/", views.import_databricks, name="import_databricks"),
    path(f"{IMPORT}rename/", views.import_rename, name="import_rename"),
    path(f"{IMPORT}delete/", views.import_delete, name="import_delete"),
    path(f"{IMPORT}forget/", views.import_forget, name="import_forget"),
    path(f"{IMPORT}runs/<int:run_pk>/", items.run_detail, name="run_detail"),
    path("adopt/", views.adopt_remote, name="adopt"),
]
