from django.contrib.auth.views import LogoutView
from django.urls import path

from . import views

app_name = "accounts"
urlpatterns = [
    path("sign-in/", views.sign_in, name="sign_in"),
    path("sign-out/", LogoutView.as_view(), name="sign_out"),
    path("preferences/", views.preferences, name="preferences"),
    path("switch/", views.switch, name="switch"),
    path("tokens/", views.token_list, name="tokens"),
    path("tokens/<slug:digest>/revoke/", views.token_revoke, name="token_revoke"),
    path("views/", views.view_save, name="view_save"),
    path("views/<int:pk>/delete/", views.view_delete, name="view_delete"),
]
