"""Every address of the REST API, its description and its documentation."""

from typing import Any

from django.http import Http404
from django.urls import URLPattern, path, re_path, register_converter
from django.urls.converters import IntConverter
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response

from mixadmin.accounts.api import MeViewSet, SavedViewViewSet, TokenViewSet
from mixadmin.audit.api import AuditViewSet
from mixadmin.common.api import ApiViewSet
from mixadmin.common.api_schema import describe
from mixadmin.connectors.api import (
    ConnectorCatalogueViewSet,
    ConnectorRunViewSet,
    ConnectorViewSet,
)
from mixadmin.files.api import BucketViewSet, DirectoryViewSet, UploadViewSet
from mixadmin.ingestion.api import (
    IngestionCatalogueViewSet,
    IngestionFileViewSet,
    IngestionViewSet,
    LiveEventViewSet,
    RejectedViewSet,
    UnsettledBatchViewSet,
)
from mixadmin.jobs.api import JobViewSet
from mixadmin.jobs.idempotency import once
from mixadmin.lookups.api import (
    LookupFileViewSet,
    LookupTableViewSet,
    LookupVersionViewSet,
)
from mixadmin.projects.api import (
    MemberViewSet,
    ProjectViewSet,
    RemoteObjectViewSet,
)
from mixadmin.service_accounts.api import OrganizationViewSet, ServiceAccountViewSet
from mixadmin.warehouse.api import (
    AdoptionViewSet,
    ImportRunViewSet,
    WarehouseCatalogueViewSet,
    WarehouseImportViewSet,
    WarehouseSourceViewSet,
)

app_name = "api"


class RowId(IntConverter):
    """A key that a database can hold; any other number is an address of nothing."""

    regex = "[1-9][0-9]{0,18}"

    def to_python(self, value: str) -> int:
        if int(value) >= 2**63:
            raise ValueError("beyond 64 bits")
        return int(value)


register_converter(RowId, "row_id")


class NowhereViewSet(ApiViewSet):
    """Any other address. It answers like a thing that does not exist."""

    permission_classes = [AllowAny]

    @describe(exclude=True)
    def nothing(self, request: Request) -> Response:
        raise Http404


def route(
    address: str, view: type[ApiViewSet], name: str | None = None, **actions: str
) -> URLPattern:
    """One address and which action of the view each method is."""
    # `once` is given here, so that no view below jobs needs to know it.
    known: Any = view.as_view(actions, once=once)  # type: ignore[arg-type]
    found: URLPattern = path(f"v1/{address}", known, name=name)
    return found


PROJECT = "projects/<row_id:project_id>/"
ACCOUNT = "service-accounts/<row_id:account_id>/"
OTHER = f"{ACCOUNT}organization/<row_id:other_id>/"
SOURCES = f"{PROJECT}warehouse-sources/"
SOURCE = f"{SOURCES}<row_id:source_id>/"
IMPORTS = f"{PROJECT}imports/"
IMPORT = f"{IMPORTS}<row_id:import_id>/"
CONNECTORS = f"{PROJECT}connectors/"
CONNECTOR = f"{CONNECTORS}<row_id:connector_id>/"
UPLOADS = f"{PROJECT}uploads/"
UPLOAD = f"{UPLOADS}<uuid:upload>/"
BUCKETS = f"{PROJECT}buckets/"
BUCKET = f"{BUCKETS}<row_id:bucket_id>/"
DIRECTORIES = f"{PROJECT}directories/"
TABLES = f"{PROJECT}lookup-tables/"
TABLE = f"{TABLES}<row_id:table_id>/"
VERSION = f"{TABLE}versions/<row_id:number>/"
INGESTIONS = f"{PROJECT}ingestions/"
INGESTION = f"{INGESTIONS}<row_id:ingestion_id>/"
BATCH = f"{INGESTION}batches/<row_id:batch_id>/"
JOB = "jobs/<uuid:pk>/"

DETAIL = {"get": "retrieve", "patch": "partial_update", "delete": "destroy"}
READ_ONLY = {"get": "retrieve"}
NO_PATCH = {"get": "retrieve", "delete": "destroy"}
BOTH = {"get": "list", "post": "create"}

urlpatterns = [
    route("projects/", ProjectViewSet, **BOTH),
    route(PROJECT, ProjectViewSet, "project", **DETAIL),
    route(f"{PROJECT}verify/", ProjectViewSet, post="verify"),
    route(f"{PROJECT}members/", MemberViewSet, get="list", post="set"),
    route(f"{PROJECT}members/<str:username>/", MemberViewSet, delete="destroy"),
    route(f"{PROJECT}audit/", AuditViewSet, get="list"),
    route(f"{PROJECT}remote-objects/", RemoteObjectViewSet, get="list"),
    route(f"{PROJECT}remote-objects/adopt/", AdoptionViewSet, post="create"),
    route("service-accounts/", ServiceAccountViewSet, **BOTH),
    route(ACCOUNT, ServiceAccountViewSet, "service-account", **DETAIL),
    route(f"{ACCOUNT}secret/", ServiceAccountViewSet, post="secret"),
    route(f"{ACCOUNT}verify/", ServiceAccountViewSet, post="verify"),
    route(
        f"{ACCOUNT}discover/",
        ServiceAccountViewSet,
        get="discover",
        post="add_discovered",
    ),
    route(
        f"{ACCOUNT}organization/",
        OrganizationViewSet,
        get="at_mixpanel",
        post="create",
    ),
    route(OTHER, OrganizationViewSet, delete="destroy"),
    route(f"{OTHER}membership/", OrganizationViewSet, post="membership"),
    route(SOURCES, WarehouseSourceViewSet, **BOTH),
    route(SOURCE, WarehouseSourceViewSet, **DETAIL),
    route(f"{SOURCE}forget/", WarehouseSourceViewSet, post="forget"),
    route(IMPORTS, WarehouseImportViewSet, **BOTH),
    route(f"{IMPORTS}bulk/", WarehouseImportViewSet, post="bulk"),
    route(f"{IMPORTS}runs-left/", WarehouseImportViewSet, get="runs_left"),
    route(IMPORT, WarehouseImportViewSet, **NO_PATCH),
    route(f"{IMPORT}pause/", WarehouseImportViewSet, post="pause"),
    route(f"{IMPORT}resume/", WarehouseImportViewSet, post="resume"),
    route(f"{IMPORT}frequency/", WarehouseImportViewSet, post="frequency"),
    route(
        f"{IMPORT}databricks-params/", WarehouseImportViewSet, post="databricks_params"
    ),
    route(f"{IMPORT}run/", WarehouseImportViewSet, post="run"),
    route(f"{IMPORT}rename/", WarehouseImportViewSet, post="rename"),
    route(f"{IMPORT}forget/", WarehouseImportViewSet, post="forget"),
    route(f"{IMPORT}runs/", ImportRunViewSet, get="list"),
    route(f"{IMPORT}runs/<row_id:run_id>/", ImportRunViewSet, **READ_ONLY),
    route(CONNECTORS, ConnectorViewSet, **BOTH),
    route(f"{CONNECTORS}adopt/", ConnectorViewSet, post="adopt"),
    route(CONNECTOR, ConnectorViewSet, **NO_PATCH),
    route(f"{CONNECTOR}forget/", ConnectorViewSet, post="forget"),
    route(f"{CONNECTOR}runs/", ConnectorRunViewSet, get="list"),
    route(f"{CONNECTOR}runs/<row_id:run_id>/", ConnectorRunViewSet, **READ_ONLY),
    route(UPLOADS, UploadViewSet, "uploads", **BOTH),
    route(UPLOAD, UploadViewSet, "upload", **DETAIL),
    route(BUCKETS, BucketViewSet, **BOTH),
    route(BUCKET, BucketViewSet, "bucket", **DETAIL),
    route(f"{BUCKET}credentials/", BucketViewSet, post="credentials"),
    route(f"{BUCKET}verify/", BucketViewSet, post="verify"),
    route(f"{BUCKET}objects/", BucketViewSet, get="objects"),
    route(DIRECTORIES, DirectoryViewSet, get="names"),
    route(f"{DIRECTORIES}<str:name>/", DirectoryViewSet, get="entries"),
    route(TABLES, LookupTableViewSet, get="list"),
    route(TABLE, LookupTableViewSet, **READ_ONLY),
    route(f"{TABLE}file/", LookupFileViewSet, put="update"),
    route(f"{TABLE}versions/", LookupVersionViewSet, get="list"),
    route(VERSION, LookupVersionViewSet, **READ_ONLY),
    route(f"{VERSION}send/", LookupVersionViewSet, post="send"),
    route(f"{VERSION}roll-back/", LookupVersionViewSet, post="roll_back"),
    route(f"{VERSION}rows/", LookupVersionViewSet, get="rows"),
    route(f"{VERSION}bad-rows/", LookupVersionViewSet, get="bad_rows"),
    route(INGESTIONS, IngestionViewSet, **BOTH),
    route(f"{INGESTIONS}bulk/", IngestionViewSet, post="bulk"),
    route(INGESTION, IngestionViewSet, **READ_ONLY),
    route(f"{INGESTION}start/", IngestionViewSet, post="start"),
    route(f"{INGESTION}pause/", IngestionViewSet, post="pause"),
    route(f"{INGESTION}resume/", IngestionViewSet, post="resume"),
    route(f"{INGESTION}cancel/", IngestionViewSet, post="cancel"),
    route(f"{INGESTION}retry/", IngestionViewSet, post="retry"),
    route(f"{INGESTION}pass-gate/", IngestionViewSet, post="pass_gate"),
    route(f"{INGESTION}copy/", IngestionViewSet, post="copy"),
    route(f"{INGESTION}resend/", IngestionViewSet, post="resend"),
    route(f"{INGESTION}files/", IngestionFileViewSet, get="list"),
    route(f"{INGESTION}rejected/", RejectedViewSet, get="list"),
    route(f"{INGESTION}rejected/download/", RejectedViewSet, get="download"),
    route(f"{INGESTION}batches/", UnsettledBatchViewSet, get="list"),
    route(f"{BATCH}decide/", UnsettledBatchViewSet, post="decide"),
    route(f"{PROJECT}live-events/", LiveEventViewSet, post="send"),
    route("jobs/", JobViewSet, get="list"),
    route("jobs/bulk/", JobViewSet, post="bulk"),
    route(JOB, JobViewSet, "job", **READ_ONLY),
    route(f"{JOB}retry/", JobViewSet, post="retry"),
    route(f"{JOB}cancel/", JobViewSet, post="cancel"),
    route(f"{JOB}decide/", JobViewSet, post="decide"),
    route(f"{JOB}dismiss/", JobViewSet, post="dismiss"),
    route("me/", MeViewSet, get="retrieve", patch="partial_update"),
    route("tokens/", TokenViewSet, **BOTH),
    route("tokens/<str:token_key>/", TokenViewSet, "token", **NO_PATCH),
    route("saved-views/", SavedViewViewSet, **BOTH),
    route("saved-views/<row_id:view_id>/", SavedViewViewSet, "saved-view", **NO_PATCH),
    route("catalogue/warehouse/", WarehouseCatalogueViewSet, **READ_ONLY),
    route("catalogue/connectors/", ConnectorCatalogueViewSet, **READ_ONLY),
    route("catalogue/ingestion/", IngestionCatalogueViewSet, **READ_ONLY),
    path("schema/", SpectacularAPIView.as_view(), name="schema"),
    path(
        "docs/",
        SpectacularSwaggerSplitView.as_view(url_name="api:schema"),
        name="docs",
    ),
    re_path(
        "^",
        NowhereViewSet.as_view(
            dict.fromkeys(("get", "post", "put", "patch", "delete"), "nothing")
        ),
    ),
]
