from django.urls import path

from . import items, lists, views

app_name = "connectors"
urlpatterns = [
    path("", lists.connector_list, name="list"),
    path("new/", views.connector_create, name="create"),
    path("adopt/", views.adopt_remote, name="adopt"),
    path("<int:pk>/", items.connector_detail, name="detail"),
    path("<int:pk>/runs/", items.connector_runs, name="runs"),
    path("<int:pk>/timeline/", items.connector_timeline, name="timeline"),
    path(
        "<int:pk>/configuration/", items.connector_configuration, name="configuration"
    ),
    path("<int:pk>/delete/", views.connector_delete, name="delete"),
    path("<int:pk>/forget/", views.connector_forget, name="forget"),
    path("<int:pk>/runs/<int:run_pk>/", items.run_detail, name="run_detail"),
]
