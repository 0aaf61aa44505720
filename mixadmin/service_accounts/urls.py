from django.urls import URLPattern

app_name = "service_accounts"
urlpatterns: list[URLPattern] = []
