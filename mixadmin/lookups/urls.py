from django.urls import path

from . import views

VERSION = "<int:pk>/versions/<int:number>/"

app_name = "lookups"
urlpatterns = [
    path("", views.table_list, name="list"),
    path("<int:pk>/", views.table_detail, name="detail"),
    path("<int:pk>/timeline/", views.table_timeline, name="timeline"),
    path("<int:pk>/configuration/", views.table_configuration, name="configuration"),
    path("<int:pk>/replace/", views.table_replace, name="replace"),
    path(VERSION, views.version_detail, name="version"),
    path(f"{VERSION}send/", views.version_send, name="send"),
    path(f"{VERSION}roll-back/", views.version_roll_back, name="roll_back"),
    path(f"{VERSION}rows.csv", views.version_rows, name="rows"),
    path(f"{VERSION}bad-rows.csv", views.version_bad_rows, name="bad_rows"),
]
