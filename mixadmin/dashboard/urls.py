from django.urls import path

from . import styleguide, views

app_name = "dashboard"
urlpatterns = [
    path("", views.home, name="home"),
    path("find/", views.find, name="find"),
    path("pulse/", views.pulse, name="pulse"),
    path("styleguide/", styleguide.styleguide, name="styleguide"),
]
