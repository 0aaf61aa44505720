from django.http import HttpResponse
from django.shortcuts import render

from mixadmin.accounts.requests import Request
from mixadmin.common.pages import page


@page
def home(request: Request) -> HttpResponse:
    return render(request, "dashboard/home.html")
