"""What a hostile file may hold, drawn by hypothesis: for the tests of every reader."""

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

NASTY = [
    *("", " ", "3", "-3", "1e999", "nan", "-0", "..", "/", ".", "../x", "a/../b", "\\", '"', '"3"', "NA", "\x00", "\r"),
    *("\n", "\ufeff", ",", ";", "|", "\t", "a" * 300, "a.mp4", ".mp4", "1_0", "\u202e", "é"),
    *("True", "null", "{", "[]", "=1+1", "\ud800"),
]


def hostile_cells(special: list[str]) -> st.SearchStrategy:
    """Texts of a cell. special: what has a meaning in the files at hand."""
    return st.sampled_from([*NASTY, *special]) | st.text(max_size=8)


def hostile_values(cell: st.SearchStrategy) -> st.SearchStrategy:
    """Anything that JSON can hold, with such cells inside."""
    return st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | cell,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(cell, inner, max_size=3),
        max_leaves=5,
    )


hostile = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
