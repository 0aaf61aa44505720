from django.urls import URLPattern

app_name = "warehouse"
urlpatterns: list[URLPattern] = []
