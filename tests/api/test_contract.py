"""The API's own description: machines read it, make requests and a client from it, and find it true.

Schemathesis draws requests that fit the description and requests that do not; half of them name
runs, files and models that there are, so that answers that succeed are checked as well.
"""

from __future__ import annotations

import os
import random
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
import schemathesis
from api.answers import problem
from api.servers import CLI, StartServer
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Unsatisfiable
from hypothesis.strategies import randoms
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance

from mmm_workflows.api.main import create_app

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

import seeded

REQUESTS = int(os.environ.get("CONTRACT_REQUESTS", "500"))
SEED = int(os.environ.get("CONTRACT_SEED", random.randrange(10**6)))
print(f"CONTRACT_SEED={SEED}", file=sys.stderr)
SPARE = 3
SCHEMA = schemathesis.openapi.from_dict(create_app().openapi())
FOUND = {found.ok().label: found.ok() for found in SCHEMA.get_all_operations()}
# A start is too rarely drawn so that it is accepted; the benchmark draws often enough for each.
SEEN_TO_SUCCEED = [
    label
    for label in FOUND
    if label.startswith(("GET ", "POST /models/", "POST /datasets")) or label in seeded.USED_UP
]


@dataclass
class Fuzzed:
    """A server with what requests may name, and how many requests of each operation succeeded."""

    address: str
    seeds: seeded.Seeds
    successes: Counter[str] = field(default_factory=Counter)


@pytest.fixture(scope="module")
def fuzzed(start_server: StartServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fuzzed]:
    """A server that takes as many requests as the test has."""
    command = ["env", "STARTS_PER_MINUTE=100000", *CLI, "serve"]
    home = tmp_path_factory.mktemp("fuzzed")
    seeded.write_home(home)
    with start_server(command, home) as address:
        yield Fuzzed(address, seeded.seed(address, spare=SPARE))


@pytest.mark.parametrize("mode", list(GenerationMode))
@pytest.mark.parametrize("operation", FOUND)
def test_every_answer_is_one_that_is_described(
    fuzzed: Fuzzed, operation: str, mode: GenerationMode
) -> None:
    each = max(1, REQUESTS // (2 * len(FOUND)))

    @seed(SEED)
    @settings(
        max_examples=each, deadline=None, database=None, phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(
        case=FOUND[operation].as_strategy(generation_mode=mode),
        names_known=seeded.NAMES_KNOWN,
        draw=randoms(),
    )
    def ask(case: schemathesis.Case, names_known: bool, draw: random.Random) -> None:
        if names_known:
            fuzzed.seeds.put_into(case, draw)
        seeded.spare(case)
        answer = case.call(base_url=f"http://{fuzzed.address}", timeout=60)
        fuzzed.successes[operation] += answer.status_code // 100 == 2
        seeded.stop_a_fit(fuzzed.address, case, answer)
        # A request may be well formed and still not be carried out: that is said with 422.
        case.validate_response(answer, excluded_checks=[positive_data_acceptance])

    try:
        ask()
    except Unsatisfiable:
        # There is nothing in it that could be wrong.
        assert mode is GenerationMode.NEGATIVE


def test_answers_that_succeed_were_among_those_that_are_described(fuzzed: Fuzzed) -> None:
    if not fuzzed.successes:
        pytest.skip("it counts what the test above has asked")
    assert seeded.never_answered(SEEN_TO_SUCCEED, fuzzed.successes) == [], f"CONTRACT_SEED={SEED}"


@pytest.mark.parametrize("asked", ["bytes=999999999-", "bytes=5-2", "lines=1-2", "bytes=0-3"])
def test_a_file_is_sent_whole_whatever_part_is_asked_for(fuzzed: Fuzzed, asked: str) -> None:
    place = fuzzed.seeds.places["GET /workflow/{workflow_id}/artifacts/{artifact_id}"][-1]
    address = f"http://{fuzzed.address}/workflow/{place['workflow_id']}/artifacts/{place['artifact_id']}"  # fmt: skip
    whole, part = httpx.get(address), httpx.get(address, headers={"range": asked})
    assert (part.status_code, part.content) == (200, whole.content)
    assert part.headers["accept-ranges"] == "none"


@pytest.mark.parametrize(
    ("path", "allowed"), [("/workflows", "GET"), ("/workflow/x", "DELETE, GET")]
)
def test_a_method_that_an_address_has_not_is_answered_with_those_that_it_has(
    fuzzed: Fuzzed, path: str, allowed: str
) -> None:
    answer = httpx.put(f"http://{fuzzed.address}{path}")
    problem(answer, 405, "address_unknown")
    assert answer.headers["allow"] == allowed


def test_every_operation_names_itself_its_errors_and_how_to_say_who_asks() -> None:
    described = create_app().openapi()
    assert {"bearer", "header"} <= set(described["components"]["securitySchemes"])
    names = []
    for path, operations in described["paths"].items():
        for operation in operations.values():
            names.append(operation["operationId"])
            assert {"bearer": []} in operation["security"]
            if path != "/health/live":
                for status in ("401", "404", "409", "422", "429"):
                    content = operation["responses"][status]["content"]
                    assert list(content) == ["application/problem+json"], (path, status)
    assert len(set(names)) == len(names)
    assert all(name.replace("_", "").isalpha() for name in names)
