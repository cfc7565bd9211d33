"""The scenarios: what is done with a bench, and which figures come of it."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from rig.failure import Failure
from rig.peers import Role

from .bench import Bench, Measurement, Usage
from .pace import Pace


@dataclass(frozen=True)
class Figure:
    """Something that is measured."""

    name: str
    title: str
    unit: str
    # For most, less is better.
    more_is_better: bool = False
    only_tls: bool = False
    # It is another look at the work of the figure before it.
    is_same_work: bool = False


@dataclass(frozen=True)
class Reading:
    """A figure's value, and how it came about."""

    figure: str
    value: float
    usage: Usage | None = None
    failed: int = 0
    last_failure: str | None = None


@dataclass(frozen=True)
class Scenario:
    """Some work, the same for every proxy."""

    name: str
    summary: str
    figures: Callable[[Pace], list[Figure]]
    run: Callable[[Bench, Pace], Iterator[Reading]]
    # For what takes long and costs little: `run` only prepares, then all proxies rest at the same
    # time, and this makes a reading of what each used meanwhile.
    rest: Callable[[Usage], Reading] | None = None


def _reading(figure: str, value: float, measurement: Measurement) -> Reading:
    answer = measurement.answer
    return Reading(figure, value, measurement.usage, answer.failed, answer.last_failure)


def _microseconds(figure: str, measurement: Measurement) -> Reading:
    return _reading(figure, measurement.cpu_each() * 1e6, measurement)


def _memory_figures(pace: Pace) -> list[Figure]:
    return [
        Figure("memory.idle", f"memory a tunnel, {pace.tunnels:,} idle", "KiB"),
        Figure("memory.after-64KiB", "… after a message of 64 KiB each", "KiB"),
        Figure("memory.reopened", "… after closing and opening all three times", "KiB"),
    ]


def _memory(bench: Bench, pace: Pace) -> Iterator[Reading]:
    base = _memory_of_none(bench, pace)

    def kibibytes_each(figure: str) -> Reading:
        time.sleep(pace.settle)
        return Reading(figure, (bench.memory() - base) / pace.tunnels / 1024)

    bench.load.open(pace.tunnels)
    yield kibibytes_each("memory.idle")
    answer = bench.load.order("once 65536", 60)
    if answer.failed:
        raise Failure(f"{answer.failed} messages of 64 KiB failed: {answer.last_failure}")
    yield kibibytes_each("memory.after-64KiB")
    for _ in range(3):
        bench.load.close()
        bench.load.open(pace.tunnels)
    yield kibibytes_each("memory.reopened")


def _memory_of_none(bench: Bench, pace: Pace) -> int:
    """The memory once a first tunnel has brought in what is loaded lazily."""
    bench.load.open(1)
    bench.load.close()
    time.sleep(pace.settle)
    return bench.memory()


def _growth_figures(pace: Pace) -> list[Figure]:
    memory = [Figure(f"growth.memory.{n}", f"memory a tunnel, {n:,}", "KiB") for n in pace.growth]
    cpu = [Figure(f"growth.cpu.{n}", f"CPU a round trip, {n:,} busy", "µs") for n in pace.growth]
    return memory + cpu


def _growth(bench: Bench, pace: Pace) -> Iterator[Reading]:
    base = _memory_of_none(bench, pace)
    opened = 0
    for tunnels in pace.growth:
        bench.load.open(tunnels - opened)
        opened = tunnels
        time.sleep(pace.settle)
        yield Reading(f"growth.memory.{tunnels}", (bench.memory() - base) / tunnels / 1024)
        yield _microseconds(
            f"growth.cpu.{tunnels}", bench.measure("loop 32", pace.window, pace.warm_up)
        )


def _idle_figures(pace: Pace) -> list[Figure]:
    return [Figure("idle", f"CPU with {pace.tunnels:,} idle tunnels", "ms/s")]


def _idle(bench: Bench, pace: Pace) -> Iterator[Reading]:
    bench.load.open(pace.tunnels)
    yield from ()


def _rested(usage: Usage) -> Reading:
    return Reading("idle", usage.proxy_busy * 1000, usage)


def _echo_figures(pace: Pace) -> list[Figure]:
    return [
        Figure(f"echo.{size}.{crowd}", f"CPU a round trip, {size}, {count:,} busy", "µs")
        for crowd, count in (("few", pace.few), ("many", pace.many))
        for size in ("32B", "1KiB")
    ]


def _echo(bench: Bench, pace: Pace) -> Iterator[Reading]:
    opened = 0
    for crowd, count in (("few", pace.few), ("many", pace.many)):
        bench.load.open(count - opened)
        opened = count
        for size, bytes_each in (("32B", 32), ("1KiB", 1024)):
            measurement = bench.measure(f"loop {bytes_each}", pace.window, pace.warm_up)
            yield _microseconds(f"echo.{size}.{crowd}", measurement)


def _paced_figures(pace: Pace) -> list[Figure]:
    what = f"{pace.many:,} tunnels, {pace.rate:,} messages/s"
    return [
        Figure("paced.p50", f"latency p50, {what}", "µs"),
        Figure("paced.p99", "… p99", "µs", is_same_work=True),
        Figure("paced.p99.9", "… p99.9", "µs", is_same_work=True),
        Figure(ADDED, "… p50 above that of a direct connection", "µs", is_same_work=True),
        Figure("paced.cpu", "… CPU a round trip", "µs", is_same_work=True),
    ]


# Computed once all of a round is known: by how much the median exceeds that without a proxy.
ADDED = "paced.added"


def _paced(bench: Bench, pace: Pace) -> Iterator[Reading]:
    bench.load.open(pace.many)
    # Each tunnel is to have a few turns.
    turn = pace.many / pace.rate
    window = max(3 * pace.window, 4 * turn)
    measurement = bench.measure(f"paced 32 {pace.rate}", window, max(pace.warm_up, turn))
    answer = measurement.answer
    yield _reading("paced.p50", answer.p50_microseconds, measurement)
    yield _reading("paced.p99", answer.p99_microseconds, measurement)
    yield _reading("paced.p99.9", answer.p999_microseconds, measurement)
    if bench.peer.role is not Role.DIRECT:
        yield _microseconds("paced.cpu", measurement)


def _bulk_figures(_: Pace) -> list[Figure]:
    return [
        Figure("bulk.64KiB", "CPU a GB, messages of 64 KiB", "s/GB"),
        Figure("bulk.1MiB", "CPU a GB, messages of 1 MiB", "s/GB"),
    ]


def _bulk(bench: Bench, pace: Pace) -> Iterator[Reading]:
    bench.load.open(pace.busy)
    for size, bytes_each in (("64KiB", 64 << 10), ("1MiB", 1 << 20)):
        measurement = bench.measure(f"take {bytes_each}", pace.window, pace.warm_up)
        yield _reading(f"bulk.{size}", measurement.cpu_each() * 1e9, measurement)


def _handshake_figures(_: Pace) -> list[Figure]:
    return [
        Figure("handshake.full", "CPU a handshake", "µs"),
        Figure("handshake.resumed", "CPU a handshake, TLS resumed", "µs", only_tls=True),
        Figure(
            "handshake.share",
            "resumed, of those with a ticket",
            "%",
            more_is_better=True,
            only_tls=True,
            is_same_work=True,
        ),
    ]


def _handshake(bench: Bench, pace: Pace) -> Iterator[Reading]:
    measurement = bench.measure(f"handshakes full {pace.busy}", pace.window, pace.warm_up)
    yield _microseconds("handshake.full", measurement)
    if not bench.is_tls:
        return
    measurement = bench.measure(f"handshakes resumed {pace.busy}", pace.window, pace.warm_up)
    yield _microseconds("handshake.resumed", measurement)
    answer = measurement.answer
    if not answer.offered:
        raise Failure("it gave no ticket")
    yield _reading("handshake.share", 100 * answer.resumed / answer.offered, measurement)


def _get_figures(_: Pace) -> list[Figure]:
    return [Figure("get", "CPU a plain GET, keep-alive", "µs")]


def _get(bench: Bench, pace: Pace) -> Iterator[Reading]:
    yield _microseconds("get", bench.measure(f"get {pace.busy}", pace.window, pace.warm_up))


SCENARIOS = [
    Scenario("memory", "what an idle tunnel holds", _memory_figures, _memory),
    Scenario("growth", "memory and CPU as tunnels grow in number", _growth_figures, _growth),
    Scenario("idle", "what idle tunnels cost", _idle_figures, _idle, rest=_rested),
    Scenario("echo", "round trips, one after the other on each tunnel", _echo_figures, _echo),
    Scenario(
        "paced", "round trips at a fixed rate, and how long they take", _paced_figures, _paced
    ),
    Scenario("bulk", "large messages from the backend", _bulk_figures, _bulk),
    Scenario("handshake", "connect, upgrade, one echo, close", _handshake_figures, _handshake),
    Scenario("get", "small plain requests", _get_figures, _get),
]
