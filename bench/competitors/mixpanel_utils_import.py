"""mixpanel-utils with its own defaults: python mixpanel_utils_import.py FILE SINK_URL."""

import sys

from mixpanel_utils import MixpanelUtils

path, sink = sys.argv[1:]
utils = MixpanelUtils(
    "bench",
    token="0" * 32,
    service_account_username="bench.mp-service-account",
    project_id=1,
)
utils.import_api = sink
utils.import_events(path, timezone_offset=0)
