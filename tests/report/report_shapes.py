"""The reports that are looked at as html and in a browser: names of fixtures in `conftest.py`."""

SHAPES = (
    "flowers",
    "two_classes",
    "many_classes",
    "one_row",
    "nested",
    "hostile",
    "all_failed",
    "tuned",
    "tuned_many",
    "tuned_hostile",
)
