"""Whatever JSON a run holds reads back as it was written, on both databases."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmm_workflows.db.runs import RunStore
from mmm_workflows.records import Run

from .conftest import BOTH, database


def a_run(workflow_id: str, body: dict[str, object]) -> Run:
    return Run(
        workflow_id=workflow_id,
        workflow="eda",
        seed=1,
        graph_version="1",
        request=body,
        result=body,
    )


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    # PostgreSQL's text holds neither NUL nor half of a surrogate pair.
    | st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


BODIES = st.lists(st.dictionaries(st.text("abcä_", max_size=5), JSON, max_size=4), max_size=20)


@pytest.mark.parametrize("kind", BOTH)
@settings(max_examples=3, deadline=None)
@given(bodies=BODIES)
def test_any_json_reads_back_as_it_was_written(
    kind: str, bodies: list[dict[str, object]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    async def there_and_back() -> list[Run]:
        async with database(kind, tmp_path_factory.mktemp("db")) as opened:
            store = RunStore(opened)
            for number, body in enumerate(bodies):
                await store.create(a_run(str(number), body))
            return [await store.get(str(number)) for number in range(len(bodies))]

    found = asyncio.run(there_and_back())
    assert [run.result for run in found] == bodies
    assert [run.request for run in found] == bodies
