"""Which spans are shown to whom."""

from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.observer.domain.spans import Link, Span, Trace, shown
from penstock.observer.domain.viewer import Viewer

OPERATOR = Viewer("", operator=True)
ACME = Viewer("acme")


def one(
    span_id: str, parent_id: str = "", request_id: str = "", tenant: str = "", links: tuple[Link, ...] = ()
) -> Span:
    return Span(
        span_id, parent_id, "s", "internal", "x", "x", 0, 1, links=links, request_id=request_id, tenant=tenant
    )


def ids(traces: list[Trace]) -> list[list[str]]:
    return [[span.span_id for span in trace.spans] for trace in traces]


def test_a_span_that_does_not_say_whose_it_is_belongs_to_its_ancestors_owner() -> None:
    spans = [
        one("a", "", "r1", "acme"),
        one("b", "a"),
        one("c", "b"),
        one("d", "x"),
        one("e", "d", "r1", "acme"),
    ]
    trace = Trace("t", spans)
    assert ids(shown([trace], [], "r1", OPERATOR)) == [["a", "b", "c", "d", "e"]]
    assert ids(shown([trace], [], "r1", ACME)) == [["a", "b", "c", "e"]]
    assert shown([trace], [], "r1", Viewer("globex")) == []


def test_one_trace_of_many_requests_is_shown_in_parts() -> None:
    spans = [one("a", "", "r1", "acme"), one("b", "a"), one("c", "", "r2", "acme"), one("d", "c")]
    assert ids(shown([Trace("t", spans)], [], "r2", ACME)) == [["c", "d"]]


def test_of_linked_traces_all_of_the_tenant_is_shown() -> None:
    linked = Trace(
        "u", [one("a", "", "r1", "acme"), one("b", "", "r2", "acme"), one("c", "", "r3", "globex")]
    )
    own = Trace("t", [one("z", "", "r1", "acme")])
    assert ids(shown([own], [linked], "r1", ACME)) == [["z"], ["a", "b"]]


def test_a_tenant_sees_no_links_out_of_what_it_sees() -> None:
    links = (Link("t", "a"), Link("u", "b"), Link("elsewhere", "c"))
    own = Trace("t", [one("z", "", "r1", "acme", links)])
    linked = Trace("u", [one("y", "", "r9", "globex")])
    assert list(shown([own], [linked], "r1", ACME)[0].spans[0].links) == [Link("t", "a")]
    assert list(shown([own], [linked], "r1", OPERATOR)[0].spans[0].links) == list(links)


def test_spans_that_are_their_own_ancestors_end_nowhere() -> None:
    spans = [one("a", "b"), one("b", "a"), one("c", "c"), one("d", "a", "r1", "acme")]
    assert ids(shown([Trace("t", spans)], [], "r1", ACME)) == [["d"]]


names = st.sampled_from(["", "acme", "globex"])
spans = st.lists(
    st.builds(
        one,
        st.sampled_from("abcdef"),
        st.sampled_from(["", *"abcdef"]),
        st.sampled_from(["", "r1", "r2"]),
        names,
    ),
    max_size=8,
    unique_by=lambda span: span.span_id,
)


@settings(deadline=None)
@given(own=spans, other=spans)
def test_no_span_of_another_tenant_is_ever_shown(own: list[Span], other: list[Span]) -> None:
    for tenant in ("acme", "globex"):
        told = shown([Trace("t", own)], [Trace("u", other)], "r1", Viewer(tenant))
        for trace, all_of_it in zip(told, ({"t": own, "u": other}[t.trace_id] for t in told), strict=True):
            by_id = {span.span_id: span for span in all_of_it}
            for span in trace.spans:
                assert span.tenant in ("", tenant)
                seen, at = set(), span
                while not at.tenant and at.parent_id in by_id and at.span_id not in seen:
                    seen.add(at.span_id)
                    at = by_id[at.parent_id]
                assert at.tenant == tenant
