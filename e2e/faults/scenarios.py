"""The scenarios of the suite: what is done to which stack, under which load."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from e2e.faults.asks import MIXED, Kind, Load
from e2e.faults.inject import backend, broker, flood, processes, records
from e2e.faults.inject.injector import Fault
from e2e.faults.stand import Setup

TWO = Setup(replicas={"generation": 2, "gateway": 2})
ALL_TWICE = Setup(replicas=dict.fromkeys(processes.STAGES, 2))
MIX = Load(shares=MIXED)
LONG = replace(MIX, tokens=(150, 400), streams=12)
BRISK = replace(MIX, tokens=(4, 40), streams=40)
"""Many short answers: most of the suite's are those of the two scenarios that last half an hour."""
CALM = "calm"
GUARDED = replace(TWO, settings={"PENSTOCK_MODELS_FILE": str(Path(__file__).with_name("guarded.toml"))})
"""The stub's answers that only repeat themselves are ended."""


@dataclass(frozen=True)
class Scenario:
    """One row of the table.

    `minutes` is for how long the faults go on in a full run. `enough` is the share that must complete (I5).
    A `broken` build must be caught: by at least one violation of the rule named there. `behaviour` is the
    stub's.
    """

    name: str
    what: str
    faults: tuple[Fault, ...]
    load: Load = MIX
    setup: Setup = TWO
    minutes: float = 3.0
    enough: float = 0.99
    broken: str = ""
    behaviour: Mapping[str, float] = field(default_factory=dict)
    known_texts: bool = True


SEAM = Scenario(
    "real-model",
    "the real model; generation is killed every 8 s. The log says what the answer is",
    (processes.kills(["generation"], 8),),
    Load(streams=3, tokens=(24, 64), stopped=0, shares={Kind.WHOLE: 10}),
    Setup(replicas={"generation": 2, "gateway": 2}, real_model=True, deadline_s=120),
    minutes=4,
    known_texts=False,
)

SCENARIOS = (
    Scenario(CALM, "no fault at all, for the memory of each process", (), BRISK, minutes=30),
    Scenario(
        "kill",
        "kill -9 of a random process every 5 s",
        (processes.kills(processes.STAGES, 5),),
        replace(BRISK, streams=12),  # starting processes anew takes half of two processors
        minutes=30,
    ),
    Scenario(
        "kill-generation",
        "kill -9 of a generation replica every 6 s, long answers",
        (processes.kills(["generation"], 6),),
        LONG,
        minutes=4,
    ),
    Scenario(
        "loops",
        "kill -9 of a generation replica every 6 s, half of the answers repeat themselves without end",
        (processes.kills(["generation"], 6),),
        replace(LONG, loops=50, limited=10, stopped=10),
        GUARDED,
        minutes=2,
    ),
    Scenario(
        "zombie",
        "SIGSTOP for 60 s, then SIGCONT: generation, postprocessing, gateway",
        (processes.freezes(["generation", "postprocessing", "gateway"], 60, 10),),
        LONG,
        replace(TWO, replicas={**TWO.replicas, "postprocessing": 2}, deadline_s=120),
        minutes=4,
    ),
    Scenario(
        "broker-killed",
        "kill -9 of the broker every 25 s",
        (broker.broker_ends(signal.SIGKILL, 25),),
        setup=replace(TWO, deadline_s=90),
    ),
    Scenario(
        "broker-stopped",
        "the broker is stopped and started every 25 s",
        (broker.broker_ends(signal.SIGTERM, 25),),
        setup=replace(TWO, deadline_s=90),
    ),
    Scenario(
        "backend-cut",
        "every stream of the backend breaks at token k, for every k up to 64",
        (backend.cuts(64, 3),),
        replace(MIX, tokens=(20, 90)),
        minutes=3.5,
    ),
    Scenario(
        "backend-killed", "kill -9 of the only backend every 8 s", (backend.backend_kills(8),), minutes=2
    ),
    Scenario(
        "backend-stalls",
        "3 % of the backend's streams fall silent without being closed",
        (backend.stalls(40, 4, 0.03),),
        setup=replace(TWO, settings={"PENSTOCK_STALL_SECONDS": "5"}),
        minutes=2,
    ),
    Scenario(
        "duplicates",
        "every record of every chat topic is delivered twice, while generation is killed every 10 s",
        (records.duplicates(), processes.kills(["generation"], 10)),
        minutes=2,
    ),
    Scenario("poison", "1 % of the records are no events", (records.poison(1.0),), minutes=2),
    Scenario(
        "flood",
        "300 records in a row are no events: the stage stops, says so, and goes on after each restart",
        (flood.flood(300, 5),),
        setup=replace(TWO, deadline_s=120),
        minutes=1,
    ),
    Scenario(
        "clocks",
        "one gateway's clock is 5 minutes ahead, one generation replica's 5 minutes behind",
        (processes.kills(["generation"], 20),),
        setup=replace(TWO, variants={"gateway-2": "clock:300", "generation-2": "clock:-300"}),
        minutes=2,
    ),
    Scenario(
        "disk-full",
        "the broker's disk is full for 10 s every 40 s",
        (broker.full_disks(10, 40),),
        setup=replace(TWO, small_disk=True, deadline_s=120),
        enough=0.5,
    ),
    Scenario(
        "slow-readers",
        "200 readers at 1 KB/s among 1,000 streams",
        (processes.kills(["gateway", "postprocessing"], 30),),
        # With 2,000 on two cores the clients are seconds late themselves, and all is about that.
        Load(streams=1000, tokens=(20, 60), shares={Kind.SLOW: 20}, gap_s=20),
        # One gateway takes them all while the other is away.
        replace(TWO, deadline_s=120, slots=256, inter_ms=50, settings={"PENSTOCK_MAX_OPEN_REQUESTS": "2500"}),
    ),
    Scenario(
        "rolling-restart",
        "every process is restarted, one after the other, over and over",
        (processes.rolling_restarts(),),
        setup=ALL_TWICE,
    ),
    Scenario(
        "storm",
        "a generation replica joins or leaves every 3 s",
        (processes.storm("generation", 4, 3),),
        setup=replace(TWO, replicas={"generation": 4, "gateway": 2}),
    ),
    SEAM,
    Scenario(
        "broken: no epoch check",
        "postprocessing takes records of replaced owners, generation becomes a zombie for 6 s",
        (processes.freezes(["generation"], 6, 4),),
        replace(LONG, stopped=0, shares={}),
        replace(TWO, variants={"postprocessing": "no-epoch-check"}),
        minutes=1,
        broken="I2",
        behaviour={"vary": True},
        known_texts=False,
    ),
    Scenario(
        "broken: commits before acknowledged",
        "generation commits what it has only read, and is killed every 6 s",
        (processes.kills(["generation"], 6),),
        setup=replace(TWO, variants={"generation": "commit-before-acknowledge"}, deadline_s=20),
        minutes=0.75,
        broken="I4",
    ),
    Scenario(
        "broken: no trimming",
        "postprocessing does not trim, and every record comes twice",
        (records.duplicates(),),
        LONG,  # so that the second copy comes before the answer's end
        setup=replace(TWO, variants={"postprocessing": "no-trimming"}, deadline_s=20),
        minutes=0.5,
        broken="I2",
    ),
)

# The gateway first, so that its turn comes twice: somebody reads a stream then, even on a slow machine.
_IN_TURN = ("gateway", "generation", "postprocessing", "retrieval", "tokenization")
QUICK = Scenario(
    "quick",
    "all at once: processes killed in turn every 6 s, every record twice, streams of the backend cut at every"
    " token, a generation replica frozen for 6 s",
    (
        processes.kills(_IN_TURN, 6, in_turn=True),
        processes.freezes(["generation"], 6, 20),
        records.duplicates(),
        backend.cuts(64, 1, 0.3),
    ),
    replace(MIX, tokens=(20, 150)),
    minutes=1,
)


def named(name: str) -> Scenario:
    """Return the scenario of that name. Raises KeyError."""
    return {scenario.name: scenario for scenario in SCENARIOS}[name]
