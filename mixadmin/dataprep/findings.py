"""Everything that can be found in a file: what it means and what to do about it.

The numbers and words come from Mixpanel's documentation unless a meaning says
otherwise. What becomes of a record depends on where it goes:

refused: not stored, and Mixpanel says so
dropped: not stored, and nobody says so
altered: stored, but not as it was written
risky: stored as written; something about it is likely to disappoint
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

REFUSED = "refused"
DROPPED = "dropped"
ALTERED = "altered"
RISKY = "risky"
SEVERITIES = (REFUSED, DROPPED, ALTERED, RISKY)
# Those records are not stored.
LOST = (REFUSED, DROPPED)

# `import`: the ingestion API with strict=1. `cloud_import`: files that Mixpanel fetches
# itself. `warehouse`: rows as a warehouse import would read them.
DESTINATIONS = ("import", "cloud_import", "warehouse")
KINDS = ("events", "people", "groups")


@dataclass(frozen=True, slots=True)
class Rule:
    """severity: by destination. mend: the slug of what can cure it, if anything can."""

    code: str
    title: str
    meaning: str
    remedy: str
    severity: Mapping[str, str]
    mend: str = ""


def _rule(
    code: str,
    severity: str,
    title: str,
    meaning: str,
    remedy: str,
    *,
    mend: str = "",
    cloud_import: str = "",
    warehouse: str = "",
) -> Rule:
    # Only the ingestion API reports on single records.
    silent = DROPPED if severity == REFUSED else severity
    by_destination = {
        "import": severity,
        "cloud_import": cloud_import or silent,
        "warehouse": warehouse or silent,
    }
    return Rule(code, title, meaning, remedy, by_destination, mend)


RULES = {
    rule.code: rule
    for rule in (
        # -- a line that is no record
        _rule(
            "record.not_json",
            REFUSED,
            "Not JSON",
            "The line is not exactly one JSON value.",
            "Write one JSON object per line, without commas or brackets around them.",
        ),
        _rule(
            "record.not_object",
            REFUSED,
            "Not an object",
            "The line is JSON, but a list, a text or a number.",
            "Write one JSON object per line.",
        ),
        _rule(
            "record.not_utf8",
            REFUSED,
            "Text that is not UTF-8",
            "A name or a text holds bytes that are not UTF-8, or half of an escaped pair.",
            "Write the file as UTF-8, or have the broken characters replaced.",
            mend="utf8.replace",
        ),
        _rule(
            "record.too_large",
            REFUSED,
            "Larger than 1 MB",
            "Mixpanel takes records below 1 MB of uncompressed JSON.",
            "Leave out large properties, or split the record.",
        ),
        _rule(
            "record.too_deep",
            REFUSED,
            "Nested without end",
            "Lists and objects are nested more than 64 deep (assumed to break parsers).",
            "Send less nested values.",
        ),
        _rule(
            "record.number_too_long",
            REFUSED,
            "A number without end",
            "A whole number has more than 4300 digits (assumed to break parsers).",
            "Send such numbers as text.",
        ),
        _rule(
            "record.other_kind",
            REFUSED,
            "Another kind of record",
            "Events and profile updates go to different places and cannot share a file.",
            "Split the file by kind, or say which kind it holds.",
        ),
        # -- events
        _rule(
            "event.name.missing",
            REFUSED,
            "No event name",
            '"event" is missing, blank or not a text.',
            'Give every record an "event".',
        ),
        _rule(
            "event.properties.missing",
            REFUSED,
            "No properties",
            '"properties" is missing or not an object.',
            'Put everything about the event into an object "properties".',
        ),
        _rule(
            "event.time.missing",
            REFUSED,
            "No time",
            'An event without "time" is not stored; Cloud Import says nothing about it.',
            'Give every event a "time" in seconds since 1970, UTC.',
        ),
        _rule(
            "event.time.not_a_number",
            REFUSED,
            "Time is not a number",
            '"time" must be a number of seconds since 1970, not a text or a date.',
            "Write the time in seconds, or have dates and texts converted.",
            mend="time.seconds",
        ),
        _rule(
            "event.time.milliseconds",
            RISKY,
            "Time in milliseconds",
            "The ingestion API takes milliseconds (numbers from 1e11 on: assumed). Cloud "
            "Import takes seconds only, so that such an event lies in the far future.",
            "Write the time in seconds, or have it converted.",
            mend="time.seconds",
            cloud_import=DROPPED,
        ),
        _rule(
            "event.time.microseconds",
            REFUSED,
            "Time in microseconds or nanoseconds",
            "Read as seconds or milliseconds the time lies in the far future.",
            "Write the time in seconds, or have it converted.",
            mend="time.seconds",
        ),
        _rule(
            "event.time.before_1971",
            REFUSED,
            "Before 1971",
            "Mixpanel stores no events from before 1971-01-01 UTC.",
            "Look for times that are 0, negative or in another unit.",
        ),
        _rule(
            "event.time.future",
            REFUSED,
            "In the future",
            "The event is dated more than an hour ahead.",
            "Look for a wrong clock, time zone or unit.",
        ),
        _rule(
            "event.time.near_future",
            ALTERED,
            "Within the next hour",
            "Mixpanel would change the time to now, and to another now when it is sent "
            "again. When we send it, we hold it until its time has come.",
            "Nothing, if the clock that wrote it is right.",
        ),
        _rule(
            "event.identity_verb",
            RISKY,
            "Identity event",
            "$identify, $create_alias and $merge are refused by projects with simplified "
            "identities, with every other record of their request (seen).",
            "Leave them out unless the project merges identities the original way.",
            mend="identity.drop",
        ),
        _rule(
            "event.names.too_many",
            ALTERED,
            "More than 5000 event names",
            "Mixpanel indexes 5000 event names of a project; others are stored but "
            "cannot be chosen in reports.",
            "Put what varies into a property, not into the name.",
        ),
        _rule(
            "event.names.user_generated",
            RISKY,
            "Event names that look generated",
            "So many different names suggest ids or texts of users inside of them "
            "(our own measure: over 500, and more than one in twenty events).",
            "Put what varies into a property, not into the name.",
        ),
        # -- $insert_id
        _rule(
            "insert_id.missing",
            REFUSED,
            "No $insert_id",
            "The ingestion API refuses such an event. Elsewhere it is stored, but sent "
            "twice it counts twice.",
            "Give every event an $insert_id of its own, or have one derived.",
            mend="insert_id.derive",
            cloud_import=RISKY,
            warehouse=RISKY,
        ),
        _rule(
            "insert_id.added",
            ALTERED,
            "$insert_id added",
            "The event has none. We add one made from the file and the line, so that "
            "sending the same file again adds nothing.",
            "Nothing, unless the events also arrive on other ways.",
        ),
        _rule(
            "insert_id.charset",
            REFUSED,
            "$insert_id with other characters",
            "Only letters, digits and hyphens are allowed.",
            "Write it without other characters, or have it hashed.",
            mend="insert_id.hash",
        ),
        _rule(
            "insert_id.too_long",
            REFUSED,
            "$insert_id is too long",
            "It may have 36 bytes.",
            "Shorten it, or have it hashed.",
            mend="insert_id.hash",
        ),
        _rule(
            "insert_id.banned",
            REFUSED,
            "$insert_id that stands for nothing",
            'Values such as "null", "undefined" or the zero UUID are refused.',
            "Give every event an $insert_id of its own, or have one derived.",
            mend="insert_id.derive",
        ),
        _rule(
            "insert_id.duplicate",
            ALTERED,
            "The same event twice",
            "Name, distinct_id, $insert_id and day are equal: Mixpanel keeps one of them.",
            "Nothing, if they are the same event. Otherwise their $insert_id must differ.",
        ),
        _rule(
            "insert_id.reused",
            RISKY,
            "$insert_id used again",
            "Different events share an $insert_id. Those that also share name, user and "
            "day are taken for one.",
            "Give every event an $insert_id of its own, or have one derived.",
        ),
        # -- distinct_id
        _rule(
            "distinct_id.missing",
            REFUSED,
            "No distinct_id",
            "Neither distinct_id nor $user_id nor $device_id is there. Projects with "
            "original identities refuse such an event (seen).",
            'Name the user, or have it counted for nobody with "".',
            mend="distinct_id.empty",
        ),
        _rule(
            "distinct_id.banned",
            REFUSED,
            "distinct_id that stands for nobody",
            'Values such as "null", "undefined", "0" or "anonymous" are refused, in any '
            "case.",
            'Name the user, have it counted for nobody with "", or leave it out.',
            mend="distinct_id.empty",
        ),
        _rule(
            "distinct_id.not_a_string",
            REFUSED,
            "distinct_id is a list or an object",
            "It must be a text.",
            'Name the user with a text, or have it counted for nobody with "".',
            mend="distinct_id.empty",
        ),
        _rule(
            "distinct_id.number",
            RISKY,
            "distinct_id is a number",
            "It is documented as a text; numbers are taken as their text (assumed).",
            "Write it in quotes.",
        ),
        _rule(
            "distinct_id.nobody",
            RISKY,
            "Counted for nobody",
            'distinct_id is "": the event is stored without a user.',
            "Nothing, if that is meant.",
        ),
        _rule(
            "distinct_id.too_long",
            RISKY,
            "distinct_id is longer than 255",
            "Whether Mixpanel refuses or cuts it is not documented.",
            "Use shorter ids.",
        ),
        _rule(
            "distinct_id.busy",
            RISKY,
            "Over 100 000 events of one id on a day",
            "From 200 000 on Mixpanel takes the id off the events of that day.",
            'Look for a test user or a constant; use "" for events without a user.',
        ),
        _rule(
            "distinct_id.hot_shard",
            ALTERED,
            "Over 200 000 events of one id on a day",
            'Mixpanel renames such events to $hotshard_events and sets distinct_id to "".',
            'Look for a test user or a constant; use "" for events without a user.',
        ),
        # -- sizes of properties
        _rule(
            "properties.too_many",
            REFUSED,
            "More than 255 properties",
            "An event may have 255 properties.",
            "Leave out what no report needs.",
        ),
        _rule(
            "properties.nesting",
            REFUSED,
            "Nested deeper than 3",
            "Lists and objects in a property may be three deep.",
            "Flatten the value.",
        ),
        _rule(
            "properties.user_generated",
            RISKY,
            "Property names that look generated",
            "So many different names suggest ids or texts of users inside of them "
            "(our own measure: over 2000).",
            "Put what varies into values, not into names.",
        ),
        _rule(
            "array.too_long",
            REFUSED,
            "A list of more than 255",
            "A list in a property may hold 255 values.",
            "Shorten the list.",
        ),
        _rule(
            "object.too_many_keys",
            REFUSED,
            "An object of more than 255",
            "An object in a property may have 255 keys.",
            "Leave out what no report needs.",
        ),
        _rule(
            "value.too_large",
            RISKY,
            "A list or an object over 8 KB",
            "Documented as a limit; what happens beyond it is not.",
            "Shorten the value.",
        ),
        _rule(
            "string.too_long",
            ALTERED,
            "A text over 255",
            "Mixpanel cuts texts after 255 characters, in places documented as bytes.",
            "Shorten the text, or have it cut in a known way.",
            mend="strings.truncate",
        ),
        _rule(
            "name.too_long",
            ALTERED,
            "A name over 255",
            "Mixpanel cuts names of events and properties after 255 characters.",
            "Use shorter names, or have them cut in a known way.",
            mend="names.truncate",
        ),
        _rule(
            "name.reserved",
            RISKY,
            "A name that is reserved",
            "Names that begin with $ or mp_ belong to Mixpanel; this one it does not "
            "document.",
            "Choose another name.",
        ),
        # -- profiles
        _rule(
            "profile.id.missing",
            REFUSED,
            "No id",
            "User profiles need $distinct_id, group profiles $group_key and $group_id.",
            "Say whose profile it is.",
        ),
        _rule(
            "profile.id.placeholder",
            RISKY,
            "An id that stands for nobody",
            'A profile for "null", "undefined" and the like gathers what belongs to many.',
            "Name the user or the group, or leave the record out.",
        ),
        _rule(
            "profile.distinct_id.not_allowed",
            REFUSED,
            "$distinct_id in a group",
            "A group profile has $group_key and $group_id, and no $distinct_id (seen).",
            "Leave it out, or have it removed.",
            mend="profile.distinct_id.remove",
        ),
        _rule(
            "profile.operation.missing",
            REFUSED,
            "No operation",
            "A profile update needs an operation such as $set.",
            'Put the properties into an object "$set".',
        ),
        _rule(
            "profile.operation.unknown",
            ALTERED,
            "Members that mean nothing",
            "Beside the operations there are members that no operation is called after; "
            "they are ignored (assumed).",
            'Put properties into an object "$set".',
        ),
        _rule(
            "profile.operation.invalid",
            REFUSED,
            "An operation on nothing",
            "The value of an operation must be an object with the properties.",
            "Write the operation as an object.",
        ),
        _rule(
            "profile.add.not_a_number",
            REFUSED,
            "$add of something else than numbers",
            "$add takes numbers only.",
            "Use $set for texts, $append or $union for lists.",
        ),
        _rule(
            "profile.union.not_lists",
            REFUSED,
            "$union without lists",
            "$union takes at least one list with at least one value.",
            "Write every value of $union as a list.",
        ),
        _rule(
            "profile.unset.not_names",
            REFUSED,
            "$unset without names",
            "$unset takes a list of property names.",
            "Write the names as a list of texts.",
        ),
        _rule(
            "profile.properties.too_many",
            REFUSED,
            "More than 2000 properties",
            "A profile may have 2000 properties; updates beyond fail.",
            "Leave out what no report needs.",
        ),
        _rule(
            "profile.value.too_large",
            RISKY,
            "A list or an object over 256 KB",
            "Documented as a limit; what happens beyond it is not.",
            "Shorten the value.",
        ),
        _rule(
            "profile.token.removed",
            ALTERED,
            "A project token in the record",
            "It is taken out: what we send goes to the project that was chosen.",
            "Nothing, if the chosen project is the right one.",
        ),
        _rule(
            "profile.delta",
            RISKY,
            "Updates that must not arrive twice",
            "$add, $append and $remove do something else the second time. When it is "
            "not known whether a request arrived, a person must decide.",
            "Use $set or $union where you can.",
        ),
        # -- the file
        _rule(
            "file.json_array",
            REFUSED,
            "One JSON list instead of lines",
            "The file begins with a bracket. It must hold one object per line.",
            "Write one JSON object per line, without commas or brackets around them.",
        ),
        _rule(
            "file.too_large",
            RISKY,
            "2 GB or more",
            "A file of this size cancels the whole job of Cloud Import.",
            "Split it; 500 MB to 1 GB is recommended there.",
            cloud_import=DROPPED,
        ),
        _rule(
            "file.cut",
            REFUSED,
            "The compressed data ends too early",
            "The file was not copied or written completely.",
            "Get the file again.",
        ),
        _rule(
            "file.broken",
            REFUSED,
            "The compressed data is damaged",
            "It cannot be unpacked beyond this point.",
            "Get the file again, and look that it was not changed on its way.",
        ),
        _rule(
            "file.bomb",
            REFUSED,
            "Unpacks to far too much",
            "It grows to more than 200 times its size (zstd: 4000), as no real data does.",
            "If it is meant to be so, unpack it yourself.",
        ),
        _rule(
            "file.expands_too_much",
            REFUSED,
            "Unpacks to more than is allowed",
            "The unpacked size is over the limit.",
            "Split the file.",
        ),
        _rule(
            "file.too_short",
            REFUSED,
            "Shorter than before",
            "The file ends before the place from which to go on.",
            "Find out who changed the file; start again with a file that stays.",
        ),
    )
}


def is_lost(code: str, destination: str) -> bool:
    """Whether a record with this finding is not stored."""
    return RULES[code].severity[destination] in LOST
