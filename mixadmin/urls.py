"""Every URL of the product."""

from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse
from django.urls import include, path


@login_not_required
def healthz(request: HttpRequest) -> HttpResponse:
    """This process answers. Says nothing more to whoever asks."""
    return HttpResponse("ok", content_type="text/plain")


handler400 = "mixadmin.common.failures.bad_request"
handler500 = "mixadmin.common.failures.server_error"

PROJECT = "projects/<int:project_id>/"

urlpatterns = [
    path("healthz", healthz),
    path("", include("mixadmin.dashboard.urls")),
    path("accounts/", include("mixadmin.accounts.urls")),
    path("projects/", include("mixadmin.projects.urls")),
    path("service-accounts/", include("mixadmin.service_accounts.urls")),
    path(PROJECT, include("mixadmin.warehouse.urls")),
    path(f"{PROJECT}connectors/", include("mixadmin.connectors.urls")),
    path(f"{PROJECT}files/", include("mixadmin.files.urls")),
    path(f"{PROJECT}lookup-tables/", include("mixadmin.lookups.urls")),
    path(f"{PROJECT}ingestions/", include("mixadmin.ingestion.urls")),
    path("jobs/", include("mixadmin.jobs.urls")),
    path("errors/", include("mixadmin.errors.urls")),
    path("api/", include("mixadmin.dashboard.api")),
]
