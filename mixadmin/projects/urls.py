from django.urls import path

from . import items, views

app_name = "projects"
urlpatterns = [
    path("", views.project_list, name="list"),
    path("create/", views.project_create, name="create"),
    path("discover/", views.project_discover, name="discover"),
    path("<int:pk>/", items.project_detail, name="detail"),
    path("<int:pk>/timeline/", items.project_timeline, name="timeline"),
    path("<int:pk>/edit/", views.project_edit, name="edit"),
    path("<int:pk>/verify/", views.project_verify, name="verify"),
    path("<int:pk>/forget/", views.project_forget, name="forget"),
    path("<int:pk>/members/", views.project_members, name="members"),
    path(
        "<int:pk>/members/<int:member>/remove/",
        views.member_remove,
        name="member_remove",
    ),
]
