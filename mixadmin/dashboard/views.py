from django.http import HttpResponse
from django.shortcuts import render

from mixadmin.accounts.requests import Request
from mixadmin.common.pages import page

from . import queries


@page
def home(request: Request) -> HttpResponse:
    going_on = queries.running(request.user)
    context = {
        "groups": queries.attention(request.user),
        "health": queries.health(request.user),
        "running": going_on,
        "is_live": going_on["job_count"]
        or going_on["run_count"]
        or going_on["ingestion_count"],
    }
    template = "dashboard/_home.html" if request.htmx else "dashboard/home.html"
    return render(request, template, context)
