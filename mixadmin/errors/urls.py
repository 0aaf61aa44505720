from django.urls import path

from . import views

app_name = "errors"
urlpatterns = [
    path("", views.error_list, name="list"),
    path("<str:name>/", views.error_detail, name="detail"),
]
