"""Requests that fit the API's own description and requests that do not, drawn by schemathesis.

python benchmarks/contract.py [--requests 10000] [--seed 1] [--out benchmarks/reports]

Operations take turns on a server of their own, in both modes; half of the requests name runs, files
and models that there are. An answer that the description does not have, a 5xx, a traceback, a file
anywhere but in its folder, or an operation that never succeeded is a fault. The report names the
code it measured; `--check` says whether it is out of date.
"""

from __future__ import annotations

import itertools
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random

import fuzz
import requests
import schemathesis
import seeded
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Unsatisfiable
from hypothesis.strategies import SearchStrategy, randoms
from schemathesis import Case, GenerationMode
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import positive_data_acceptance

from mmm_workflows.api.main import create_app

REPORT = fuzz.Report(
    page="contract.md",
    title="Requests drawn from the description of the API",
    program="benchmarks/contract.py",
    what=(
        "Operations take turns, with requests that fit the description and with requests that do not; "
        "half of them name runs, files and models that there are. An answer that is not described, a "
        "5xx, a traceback, a file out of place, or an operation that never succeeded is a fault. "
        "An operation that can be asked in few ways is asked less often than the others."
    ),
    packages=("schemathesis", "hypothesis", "fastapi", "starlette", "pydantic", "uvicorn"),
    sources=(
        "src",
        "benchmarks/fuzz.py",
        "benchmarks/contract.py",
        "benchmarks/seeded.py",
        "benchmarks/under_load/model.py",
        "uv.lock",
    ),
)
# That so many requests of an operation that uses up what it names succeed is enough.
SPARE = 20


def attack(address: str, *, seed: int, count: int) -> fuzz.Outcome:
    """Ask each operation in both modes, in rounds with a seed each, until all are sent."""
    schema = schemathesis.openapi.from_dict(create_app().openapi())
    operations = [found.ok() for found in schema.get_all_operations()]
    outcome = fuzz.Outcome()
    seeds = seeded.seed(address, spare=SPARE)
    with requests.Session() as session:
        asking = Asking(address, session, seeds, outcome)
        for number in itertools.count():
            each = max(1, (count - outcome.sent) // (2 * len(operations)))
            for operation, mode in itertools.product(operations, GenerationMode):
                if outcome.sent >= count:
                    successes = asking.successes
                    labels = [operation.label for operation in operations]
                    outcome.faults += seeded.never_answered(labels, successes)
                    outcome.more = _successes(labels, asking)
                    return outcome
                drawn = operation.as_strategy(generation_mode=mode)
                asking.ask(drawn, seed + number, each)
                print(f"{outcome.sent} sent, {len(outcome.faults)} faults", file=sys.stderr)
    raise AssertionError("rounds do not end")


@dataclass
class Asking:
    """One server that is asked, and what it has said so far."""

    address: str
    session: requests.Session
    seeds: seeded.Seeds
    outcome: fuzz.Outcome
    asked: Counter[str] = field(default_factory=Counter)
    successes: Counter[str] = field(default_factory=Counter)

    def ask(self, drawn: SearchStrategy[Case], drawn_from: int, count: int) -> None:
        """Send so many requests, most of them with names of what there is."""

        @seed(drawn_from)
        @settings(
            max_examples=count, deadline=None, database=None, phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @given(case=drawn, names_known=seeded.NAMES_KNOWN, draw=randoms())
        def send(case: Case, names_known: bool, draw: Random) -> None:
            if names_known:
                self.seeds.put_into(case, draw)
            seeded.spare(case)
            self._send(case)

        # There may be nothing in an operation that could be wrong.
        with suppress(Unsatisfiable):
            send()

    def _send(self, case: Case) -> None:
        answer = case.call(base_url=f"http://{self.address}", session=self.session, timeout=60)
        outcome, label = self.outcome, case.operation.label
        outcome.answers[f"{answer.status_code} {label}"] += 1
        self.asked[label] += 1
        self.successes[label] += answer.status_code // 100 == 2
        seeded.stop_a_fit(self.address, case, answer)
        try:
            # A request may be well formed and still not be carried out: that is said with 422.
            case.validate_response(answer, excluded_checks=[positive_data_acceptance])
        except FailureGroup as failures:
            outcome.faults += [
                f"{failure}: {case.as_curl_command()}" for failure in failures.exceptions
            ]
        if b"Traceback" in answer.content:
            outcome.faults.append(f"a traceback: {case.as_curl_command()}")


def _successes(labels: Sequence[str], asking: Asking) -> str:
    rows = "\n".join(
        f"| {label} | {asking.asked[label]} | {asking.successes[label]} |" for label in labels
    )
    return f"| operation | requests | answered with 2xx |\n|---|---|---|\n{rows}\n\n"


if __name__ == "__main__":
    raise SystemExit(fuzz.main(attack, REPORT, prepare=seeded.write_home))
