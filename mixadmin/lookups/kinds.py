"""What is fixed about lookup tables."""

# Mixpanel documents this many replacements in any 24 hours. Assumed: of each table.
REPLACEMENTS = 100
DAY = 86_400
# How many files of a table are kept, besides the one that is in Mixpanel.
KEPT = 10
# Assumed: what the index in Mixpanel's report counts the header as.
INDEX_OF_HEADER = 0

WARNINGS = (
    "The new rows hold for the past too: reports join them when they are looked at.",
    "The first column is the join key, whatever it is called.",
    "Columns that the file leaves out are gone from Mixpanel, and reports that use them "
    "break.",
)
