"""The product's URLs, and an admin site with the same rows as its lists.

The admin shows the columns that the product's lists show, 50 rows a page, with related
rows joined; everything else of it is as it comes.
"""

from django.contrib import admin
from django.urls import path

from mixadmin.audit.models import Entry
from mixadmin.connectors.models import Connector
from mixadmin.ingestion.models import Ingestion
from mixadmin.jobs.models import Job
from mixadmin.projects.models import Project
from mixadmin.urls import urlpatterns as product
from mixadmin.warehouse.models import ImportRun, WarehouseImport, WarehouseSource

site = admin.AdminSite(name="bench")
LISTS = {
    Project: {"list_display": ["name", "region", "verification", "service_account"]},
    WarehouseSource: {
        "list_display": ["name", "warehouse_type", "presence"],
        "search_fields": ["name"],
    },
    WarehouseImport: {
        "list_display": ["name", "source", "kind", "sync_mode", "status", "last_run"],
        "list_filter": ["status", "kind", "sync_mode"],
        "search_fields": ["name"],
    },
    ImportRun: {"list_display": ["at", "state", "ended_at", "num_events_imported"]},
    Connector: {
        "list_display": ["label", "connector_type", "state", "last_run"],
        "list_filter": ["state", "connector_type"],
        "search_fields": ["label"],
    },
    Ingestion: {
        "list_display": ["name", "kind", "state", "created_by", "created_at"],
        "list_filter": ["state", "kind"],
        "search_fields": ["name"],
    },
    Job: {
        "list_display": ["title", "project", "state", "actor", "created_at"],
        "list_filter": ["state"],
        "search_fields": ["title"],
    },
    Entry: {"list_display": ["at", "actor_name", "verb", "target_name", "project"]},
}
for model, options in LISTS.items():
    related = [f.name for f in model._meta.fields if f.name in options["list_display"]]
    related = [name for name in related if model._meta.get_field(name).is_relation]
    more = {"list_per_page": 50, "list_select_related": related or False}
    site.register(model, type("Bench", (admin.ModelAdmin,), options | more))

urlpatterns = [path("django-admin/", site.urls), *product]
