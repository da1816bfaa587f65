"""`python -m benchmarks.soak`: a gateway before 2 stages x 2 ranks under clients that leave and ranks that die.

Every answer is compared with what the same ranks answered alone and undisturbed. Needs nothing running; the ranks' and
the gateway's logs go to standard error. Exit status 1 when a promise is broken.
"""

import argparse
import asyncio
import socket
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import httpx
from rich.console import Console

from benchmarks.soak.clients import Crowd
from benchmarks.soak.gateway import LoadListener, first_stage, gateway, listen
from benchmarks.soak.processes import Watched
from benchmarks.soak.questions import make_questions
from benchmarks.soak.ranks import Ranks, make_model, running_ranks
from benchmarks.soak.report import Promise, Report, flatness, memory_of, none_of
from benchmarks.soak.run import TIMEOUT, Soak
from moe_gateway.heads import Credentials, HeadPool
from moe_wire.handshake import read_secret
from moe_worker.local import POD

LEAST_KILL_EVERY_S = 10
"""More often, and a rank dies more often than its restart budget of three a minute allows."""


def main() -> int:
    """Run, print, write; 1 when a promise is broken."""
    options = parse()
    watched = Watched()
    with tempfile.TemporaryDirectory(prefix="moe-soak-") as made:
        model = Path(made) / "model"
        make_model(model)
        with running_ranks(model) as ranks:
            report, code = asyncio.run(soak(model, ranks, watched, options))
    ended = [
        none_of("leaked processes", [f"pid {pid} still runs" for pid in watched.left()]),
        Promise(name="the gateway leaves with 0", is_kept=code == 0, found=f"{code}"),
    ]
    report = replace(report, promises=[*report.promises, *ended])
    print()
    report.show(Console(width=120))
    if options.json:
        report.write(options.json)
    return 0 if report.is_good else 1


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--streams", type=int, default=200, help="clients at a time, default 200")
    parser.add_argument("--seconds", type=float, default=300, help="default 300")
    parser.add_argument("--kill-every", type=float, default=15, help="seconds between two kills, default 15; 0: none")
    parser.add_argument("--questions", type=int, default=48, help="different requests, default 48")
    parser.add_argument("--seed", type=int, default=0, help="of the questions and of the clients' moods")
    parser.add_argument("--json", type=Path, help="file for the report")
    options = parser.parse_args(arguments)
    for name in ("streams", "seconds", "questions"):
        if getattr(options, name) <= 0:
            parser.error(f"--{name} {getattr(options, name):g}: without any nothing is shown; give at least 1")
    if 0 < options.kill_every < LEAST_KILL_EVERY_S:
        parser.error(
            f"--kill-every {options.kill_every:g}: ranks that die more often than every {LEAST_KILL_EVERY_S} s "
            f"use up their restart budget; give at least {LEAST_KILL_EVERY_S}, or 0 for no kills"
        )
    return options


async def soak(model: Path, ranks: Ranks, watched: Watched, options: argparse.Namespace) -> tuple[Report, int | None]:
    """The report but for what only the end can show, and the gateway's exit status."""
    stage, listener, port = first_stage(POD, ranks.addresses), LoadListener(), _free_port()
    credentials = Credentials(secret=read_secret(ranks.secret_file.read_bytes()), deployment=POD, pod_uid="soak")
    pool = HeadPool(credentials, listener)
    url, limits = f"http://127.0.0.1:{port}", httpx.Limits(max_connections=None)
    try:
        listen(pool, POD, ranks.addresses)
        async with (
            gateway(stage, model=model, secret_file=ranks.secret_file, port=port) as process,
            httpx.AsyncClient(base_url=url, timeout=TIMEOUT, limits=limits, verify=False, trust_env=False) as http,
        ):
            what = Soak(http=http, ranks=ranks, gateway_pid=process.pid, listener=listener, watched=watched, show=_show)
            report = await _asked(what, options)
    finally:
        await pool.close()
    return report, process.returncode


async def _asked(what: Soak, options: argparse.Namespace) -> Report:
    questions = make_questions(options.questions, options.seed)
    await what.wait_ready()
    crowd = Crowd(what.http, questions, await what.answer_alone(questions), seed=options.seed)
    await what.disturb(crowd, num_streams=options.streams, seconds=options.seconds, kill_every=options.kill_every)
    await what.come_to_rest(crowd, questions)
    gateway_figures = await what.gateway_figures()
    memory = memory_of(what.watched.series)
    return Report(
        options={name: str(value) for name, value in vars(options).items()},
        figures=figures(what, crowd, gateway_figures),
        memory=memory,
        promises=[*promises(what, crowd, gateway_figures), flatness(memory)],
    )


def figures(what: Soak, crowd: Crowd, gateway_figures: dict[str, float]) -> dict[str, float]:
    """What the promises rest on: how much was asked, and how hard it was made."""
    tally = crowd.tally
    return {
        "seconds": round(what.seconds, 1),
        "answers finished": tally.finished,
        "clients that left": tally.left,
        "requests turned away with 429": tally.turned_away,
        "tokens": tally.tokens,
        "tokens/s": round(tally.tokens / what.seconds, 1),
        "ranks killed": what.ranks.kills,
        "requests submitted again": gateway_figures["moe_gateway_resubmitted_total"],
        "prompt tokens found in a cache": gateway_figures["vllm:prefix_cache_hits_total"],
        "most KV blocks of a lane in use, %": round(100 * what.highest_used, 1),
    }


def promises(what: Soak, crowd: Crowd, gateway_figures: dict[str, float]) -> list[Promise]:
    """All but those about memory and about the end."""
    tally, restarts = crowd.tally, what.ranks.restarts
    busy = [f"rank {rank} says {load}" for rank, load in what.resting.items() if load.blocks_used]
    running = [f"rank {rank} says {load}" for rank, load in what.resting.items() if load.running or load.waiting]
    silent = [f"lane {lane} says nothing" for lane in range(len(what.ranks.addresses)) if lane not in what.resting]
    live = int(gateway_figures["vllm:num_requests_running"] + gateway_figures["vllm:num_requests_waiting"])
    mismatches = int(gateway_figures["moe_gateway_mismatches_total"])
    return [
        none_of("wrong answers", tally.wrong),
        none_of("failed requests", tally.failed),
        Promise(name="tokens that a head contradicted", is_kept=not mismatches, found=str(mismatches)),
        none_of("leaked blocks: lanes with used ones at rest", busy + silent),
        none_of("leaked sequences: lanes with any at rest", running + silent),
        Promise(name="requests that the gateway still has", is_kept=not live, found=str(live)),
        Promise(name="ranks die only when killed", is_kept=restarts == what.ranks.kills, found=f"{restarts} deaths"),
    ]


def _show(text: str) -> None:
    """On a terminal in one line, else a line each time."""
    print(f"\r\x1b[K{text}" if sys.stdout.isatty() else text, end="" if sys.stdout.isatty() else "\n", flush=True)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


if __name__ == "__main__":
    sys.exit(main())
