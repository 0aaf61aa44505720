from django.urls import path

from . import items, views

app_name = "service_accounts"
urlpatterns = [
    path("", views.account_list, name="list"),
    path("create/", views.account_create, name="create"),
    path("<int:pk>/", items.account_detail, name="detail"),
    path("<int:pk>/timeline/", items.account_timeline, name="timeline"),
    path("<int:pk>/edit/", views.account_edit, name="edit"),
    path("<int:pk>/secret/", views.account_secret, name="secret"),
    path("<int:pk>/verify/", views.account_verify, name="verify"),
    path("<int:pk>/forget/", views.account_forget, name="forget"),
    path("<int:pk>/organization/", views.organization, name="organization"),
    path(
        "<int:pk>/organization/create/",
        views.organization_create,
        name="organization_create",
    ),
    path(
        "<int:pk>/organization/<int:member>/membership/",
        views.organization_membership,
        name="organization_membership",
    ),
    path(
        "<int:pk>/organization/<int:member>/delete/",
        views.organization_delete,
        name="organization_delete",
    ),
]
