"""What is kept of a run, and the tables made of it."""

from pathlib import Path

from e2e.faults.asks import Ask, Kind
from e2e.faults.inject.injector import Injected
from e2e.faults.invariants import Violation
from e2e.faults.report import BEGIN, END, rewrite, tables
from e2e.faults.scenarios import named
from e2e.faults.seen import End, Piece, Seen
from e2e.faults.summary import keep, kept, summarised
from e2e.faults.trial import Result

MIB = 1 << 20


def result(name: str, violations: tuple[Violation, ...] = ()) -> Result:
    seen = Seen(Ask("a", Kind.STREAM, 2), 0.0, pieces=[Piece(1.0, 1, "a"), Piece(4.0, 2, "b")])
    seen.end = End("completed", 4.0)
    faults = [Injected("kill -9", "generation", 2.0, 2.0), Injected("duplicate", "chat.requests", 2.0, 2.0)]
    memory = {"gateway": [(60.0 * n, 7, (100 + n) * MIB) for n in range(30)]}
    return Result(named(name), 120.0, [seen], faults, violations, [], memory)


def test_a_row_is_kept_and_replaced_by_the_next_run_of_its_scenario(tmp_path: Path) -> None:
    keep(tmp_path, summarised(result("kill", (Violation("I2", "lost", "a", "x"),)), "1"))
    keep(tmp_path, summarised(result("calm"), "1"))
    keep(tmp_path, summarised(result("kill"), "2"))
    calm, kill = kept(tmp_path)  # in the order of the suite
    assert (calm.name, kill.name, kill.seed) == ("calm", "kill", "2")
    assert kill.passed
    assert (kill.of_processes, kill.of_records, kill.longest_pause) == (1, 1, 3.0)
    assert not kill.memory
    [gateway] = calm.memory
    assert round(gateway.growth, 3) == 1.0


def test_the_tables_name_what_was_lost_and_go_between_the_marks(tmp_path: Path) -> None:
    broken = result("kill", (Violation("I2", "lost", "a", "x"),))
    keep(tmp_path, summarised(broken, "1"))
    keep(tmp_path, summarised(result("broken: no trimming"), "1"))
    shown = tables(kept(tmp_path))
    assert [table.title for table in shown][:2] == [
        "Faults under load",
        "Broken builds, which the checker must catch",
    ]
    assert dict(zip(shown[0].headings, shown[0].rows[-1], strict=True))["lost"] == "1"
    assert shown[1].rows[0][-1] == "NO"
    page = tmp_path / "faults.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n", encoding="utf-8")
    rewrite(page, "a machine", "make test-faults", shown)
    text = page.read_text(encoding="utf-8")
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text
    assert "| kill | 2 | 1 |" in text
