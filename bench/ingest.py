"""How many signed webhooks per second the way in makes durable, against the references in the same run.

    python -m bench.ingest [--rounds 5] [--seconds 4] [--workers 2] [--only NAME ...] [--same-check] [--quick]

All contenders stand ready on one private RabbitMQ, each with a fresh quorum queue, idle while another one
is loaded. A round goes A B C A B C in slices of one second: at full speed over 32 connections, then over 64,
then each is paced at half of that rate, for the p99 that counts. After every round the queues are emptied and
their reports counted: all that was answered 2xx must be there. So may be what the load hung up on when its
slice was over: at most one report per connection.

The peers load the payload with the city's marshmallow schema, as one usually would; ours comes to the same verdict
by a cheaper check. `--same-check` gives the peers that check too, so that only the rest is compared.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from statistics import median
from typing import Any

from bench import queues
from bench.common import (
    ROOT,
    NotAsExpected,
    end_in_order,
    last_lines,
    paired_ratio,
    save,
    scratch_folder,
    served,
    spread,
    table,
)
from bench.contenders import OURS, contenders
from bench.load import REQUESTS
from bench.signed import bodies, new_secret
from bench.standing import BARE, CONNECTIONS, SLICE_S, Bare, Course, Standing
from tests.servers import RabbitMQ

#: Ours divided by the reference, over 64 connections.
#: (d): the fastest durable peer there is reaches 1.3 times the prototype, and is to be passed by a fifth.
TO_REACH = {"a Flask + Celery": 4.0, "b FastAPI + aio-pika": 1.3, "d bare Flask prototype": 1.56, BARE: 0.3}
#: Patterns compiled, connections opened, threads started: all before the first round.
WARM_SLICES = 3
BARE_MESSAGES = 10_000


@contextmanager
def line_up(everybody: Sequence[Standing], course: Course) -> Iterator[None]:
    """Start all contenders, warm each up; at the end stop them, and count what is left."""
    queues.declare_ours(course.broker_url)
    with ExitStack() as stack:
        for one in everybody:
            try:
                one.start(stack)
            except NotAsExpected as error:
                raise SystemExit(f"{one.name}: {error}\n{last_lines(one.log)}") from error
            one.begin_round()
            for _ in range(WARM_SLICES):
                one.slice(CONNECTIONS[-1])
        yield
    for one in everybody:
        one.count()


def one_round(everybody: Sequence[Standing], bare: Bare | None, seconds: int) -> None:
    """Load everybody in turn, slice by slice, then paced; then count."""
    for one in everybody:
        one.begin_round()
    for connections in CONNECTIONS * (seconds // SLICE_S):
        for one in everybody:
            one.slice(connections)
        if bare:
            bare.slice()
    for one in everybody:
        one.half(seconds)
        one.end_round()
    if bare:
        bare.end_round()


def say(number: int, everybody: Sequence[Standing], bare: Bare | None) -> None:
    """Print what a round gave."""
    for one in everybody:
        runs = (f"{run} {m.per_s:6,.0f}/s p99 {m.p99_ms:4.0f} ms" for run, m in one.rounds[-1].items())
        print(f"round {number}  {one.name:20}  {'   '.join(runs)}", flush=True)
    if bare:
        print(f"round {number}  {BARE:20}      {bare.rounds[-1]:6,.0f}/s", flush=True)


def as_table(everybody: Sequence[Standing], bare: Bare | None) -> str:
    """Return one row per contender: its own figures, and ours divided by them."""
    heads = (
        "",
        "c32 /s",
        "c64 /s",
        "c64: p50, p99",
        "half: p50, p99 ms",
        "core-ms: own, broker",
        "ours ÷ it, c64",
        "spread",
        "to reach",
    )
    ours = next((one.per_s("c64") for one in everybody if one.name == OURS), [])
    rows = [[*_figures(one), *_against(ours, one.name, one.per_s("c64"))] for one in everybody]
    if bare:
        alone = f"{median(bare.rounds):,.0f}"
        rows.append([BARE, alone, alone, "-", "-", "-", *_against(ours, BARE, bare.rounds)])
    return table("ingest: signed webhooks made durable per second", heads, rows)


def _figures(one: Standing) -> list[str]:
    rates = [f"{median(one.per_s(f'c{connections}')):,.0f}" for connections in CONNECTIONS]
    return [one.name, *rates, _ms(one, "c64"), _ms(one, "half"), _cost(one)]


def _ms(one: Standing, run: str) -> str:
    runs = [runs[run] for runs in one.rounds]
    return f"{median(seen.p50_ms for seen in runs):.0f}, {median(seen.p99_ms for seen in runs):.0f}"


def _cost(one: Standing) -> str:
    return f"{median(cost.own for cost in one.core_ms):.2f}, {median(cost.broker for cost in one.core_ms):.2f}"


def _against(ours: Sequence[float], name: str, theirs: Sequence[float]) -> list[str]:
    if name == OURS or not ours:
        return ["", "", "p99 ≤ 60 ms at half" if name == OURS else ""]
    ratio, least, most = paired_ratio(ours, theirs)
    return [f"{ratio:.2f}", f"{least:.2f}-{most:.2f}", f"≥ {TO_REACH[name]:g}"]


def as_json(everybody: Sequence[Standing], bare: Bare | None) -> dict[str, Any]:
    """Return everything measured."""
    found: dict[str, Any] = {
        one.name: {
            "per_s_median_least_most": {run: spread(one.per_s(run)) for run in one.rounds[0]},
            "rounds": [{run: asdict(seen) for run, seen in runs.items()} for runs in one.rounds],
            "core_ms": [asdict(cost) for cost in one.core_ms],
            "tally": {**asdict(one.tally), "lost": one.tally.lost, "unexplained": one.tally.unexplained},
        }
        for one in everybody
    }
    return found | ({BARE: {"per_s": bare.rounds}} if bare else {})


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=4, help="of one kind of run, per round and contender")
    parser.add_argument("--workers", type=int, default=2, help="processes of ours")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="those whose name begins so: ours a b c d")
    parser.add_argument("--same-check", action="store_true", help="give the peers our check instead of marshmallow")
    parser.add_argument("--quick", action="store_true", help="one round of two seconds, to see that it works")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.seconds = 1, 2
    return options


def main() -> None:
    """Run, print the table, keep the figures; exit code 1 if anything accepted was lost."""
    options = _options()
    end_in_order()
    wanted = tuple(options.only or ("",))
    with scratch_folder("ingest") as folder, ExitStack() as stack:
        broker = served(stack, RabbitMQ(folder / "rabbitmq"))
        course = Course(broker.new_vhost(), broker.pid, folder, new_secret(), bodies(REQUESTS))
        everyone = contenders(options.workers, folder / "data", same_check=options.same_check)
        chosen = [one for one in everyone if one.name.startswith(wanted)]
        everybody = [Standing(one, course) for one in chosen]
        bare = Bare(course.broker_url, BARE_MESSAGES) if BARE.startswith(wanted) else None
        with line_up(everybody, course):
            for number in range(1, options.rounds + 1):
                one_round(everybody, bare, options.seconds)
                say(number, everybody, bare)
    print("\n" + as_table(everybody, bare))
    for one in everybody:
        print(f"{one.name}: {one.tally}, lost {one.tally.lost}, unexplained {one.tally.unexplained}")
    print(save("ingest", {"options": vars(options), **as_json(everybody, bare)}).relative_to(ROOT))
    sys.exit(any(one.tally.lost or one.tally.unexplained for one in everybody))


if __name__ == "__main__":
    main()
