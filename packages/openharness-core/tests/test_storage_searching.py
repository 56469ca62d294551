"""What a search through an index of names does in every database."""

from __future__ import annotations

import attrs
from hypothesis import given
from hypothesis import strategies as st

from openharness.core import RecordingInfo, RecordingQuery
from openharness.core.patterns import PatternSequence
from openharness.core.storage import HavingName, RecordingSearch

INFO = RecordingInfo(id="rec_0", run_id="run", created_at=0, outcome="completed")
INFOS = [attrs.evolve(INFO, id=f"rec_{number:04}", created_at=9_999 - number) for number in range(350)]


def after(query: RecordingQuery) -> list[RecordingInfo]:
    """The recordings that a database finds, newest first."""
    first = 0 if query.after is None else 1 + next(n for n, info in enumerate(INFOS) if info.id == query.after[1])
    return INFOS[first : first + (query.limit or 0)]


@given(
    followed=st.sets(st.integers(0, len(INFOS) - 1)),
    limit=st.one_of(st.none(), st.integers(0, 40)),
    offset=st.integers(0, 40),
)
def test_pages(followed: set[int], limit: int | None, offset: int) -> None:
    """Recordings are looked into a hundred at a time, and no further than the page needs; what is found is that page."""
    search: RecordingSearch[str] = RecordingSearch(PatternSequence("a"), RecordingQuery(limit=limit, offset=offset))
    wanted = [INFOS[number] for number in sorted(followed)][offset : None if limit is None else offset + limit]
    looked_at: list[str] = []
    search.lead([HavingName(("a",), 5)])
    more = not search.is_vain()
    while more:
        infos = after(search.query)
        places = ((looked_at.append(info.id) or (7,)) if INFOS.index(info) in followed else None for info in infos)
        more = search.take(infos, places)
    assert [match.info for match in search.found] == wanted
    assert all(match.seqs == (7,) for match in search.found)
    if limit is not None:
        assert len(looked_at) <= limit + offset


def test_the_rarest_leads() -> None:
    """The rarest name comes first and leads, unless there are many of it; without a name nothing can be found."""
    search: RecordingSearch[str] = RecordingSearch(PatternSequence(["a", "b"]), RecordingQuery())
    assert search.having is None
    first, second = search.lead([HavingName(("a",), 900), HavingName(("b",), 3)])
    assert (first.names, first.leads, second.leads) == (("b",), True, False)
    assert not search.is_vain()
    (only,) = search.lead([HavingName(("a",), RecordingSearch.RARE)])
    assert not only.leads
    search.lead([HavingName(("a",), 2), HavingName((), 0)])
    assert search.is_vain()
    assert list(search.lead([])) == []
    assert not search.is_vain()


def test_a_name_is_asked_for_once() -> None:
    """Which patterns a name matches is found out once for each name."""
    search: RecordingSearch[bytes] = RecordingSearch(PatternSequence(["a:*", "*"]), RecordingQuery())
    asked: list[str] = []

    def text() -> str:
        asked.append("a:b")
        return "a:b"

    assert search.matches(b"a:b", text) == search.matches(b"a:b", text) == (True, False)
    assert search.matches(b"b", lambda: "b") == (False, True)
    assert asked == ["a:b"]
