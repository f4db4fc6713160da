"""What a server and a command that asks it over HTTP have to agree on."""

# Every answer carries the level. It grows when an older command could no longer use what it gets;
# routes and names that are added do not change it.
API_HEADER = "Beholder-API"
API_LEVEL = 1

LINES = "application/x-ndjson"  # a JSON document a line, for any number of pictures or rows
