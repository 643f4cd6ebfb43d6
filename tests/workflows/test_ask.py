"""Asking the data: a program is written, held in the sandbox, and its answer is read as data."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from scripted_model.behaviours import Behaviour, ChatRequest, Fails, says
from scripted_model.server import ScriptedOllama

from mmm_workflows.config import Settings
from mmm_workflows.errors import DatasetError, MMMError, UserError
from mmm_workflows.mmm.answers import read_answer_table, read_figures
from mmm_workflows.tools import code_executor
from mmm_workflows.tools.sandbox import probe
from mmm_workflows.tools.sandbox.limits import Limits
from mmm_workflows.tools.sandbox.mode import SandboxMode
from mmm_workflows.workflows.front import read_request
from mmm_workflows.workflows.outputs import Code
from mmm_workflows.workflows.runner import open_runner

SALES = Path(__file__).parents[2] / "data" / "sales.csv"
MODEL = "qwen3-coder:30b"
QUESTION = "In which month were sales highest on average?"
PROGRAM = """
import json
import pandas as pd
import matplotlib.pyplot as plt
data = pd.read_csv("data.csv", parse_dates=["Period"])
means = data.groupby(data["Period"].dt.month)["Sales"].mean()
means.to_csv("out/means.csv")
means.plot.bar()
plt.savefig("out/means.png")
json.dump({"best month": int(means.idxmax()), "its mean": float(means.max())},
          open("out/figures.json", "w"))
print(len(data), "periods")
"""


@pytest.fixture(autouse=True)
def _unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """No job ends by the clock because a machine is slow; the CPU bound stays, and is its own."""
    monkeypatch.setattr(code_executor, "Limits", lambda: Limits(wall_s=600))
    monkeypatch.setattr(probe, "CANARY_LIMITS", Limits(wall_s=600, cpu_s=60))


async def run(settings: Settings, workflow: str, arguments: dict[str, Any]) -> dict[str, Any]:
    async with open_runner(settings) as runner:
        return await runner.start(workflow, read_request(workflow, arguments))


async def mff_of(settings: Settings) -> str:
    arguments = {
        "data_sources": [str(SALES)], "target_variable": "Sales",
        "media_channels": ["TV_Spend", "Digital_Spend"],
    }  # fmt: skip
    path: str = (await run(settings, "eda", arguments))["mff_data_path"]
    return path


async def ask(settings: Settings, code: str | None = None, **more: Any) -> dict[str, Any]:
    mff = more.pop("mff", None) or await mff_of(settings)
    return await run(settings, "ask", {"mff_data_path": mff, "question": QUESTION, "code": code})


async def test_a_persons_program_answers_with_figure_table_and_picture(
    settings: Settings,
) -> None:
    result = await ask(settings, PROGRAM)
    assert result["outcome"] == "finished"
    assert result["generated_by"] == "person"
    sales: dict[int, list[float]] = {}
    for line in SALES.read_text(encoding="utf-8").splitlines()[1:]:
        cells = line.split(",")
        sales.setdefault(int(cells[0].split("-")[1]), []).append(float(cells[1]))
    means = {month: sum(values) / len(values) for month, values in sales.items()}
    best = max(means, key=lambda month: means[month])
    assert result["named_figures"] == pytest.approx({"best month": best, "its mean": means[best]})
    (table,) = result["tables"]
    assert table["rows_in_all"] == len(means)
    (picture,) = result["pictures"]
    assert Path(picture["path"]).read_bytes().startswith(b"\x89PNG")
    assert Path(result["code_path"]).read_text(encoding="utf-8") == PROGRAM
    assert result["printed"].strip() == f"{sum(map(len, sales.values()))} periods"
    assert result["sandbox"] in (SandboxMode.BUBBLEWRAP, SandboxMode.GUARD)
    assert {"code", "answer", "ask_result"} <= {a["kind"] for a in result["artifacts"]}
    assert [d["who"] for d in result["decisions"]] == ["person"]


@pytest.fixture
def server() -> Any:
    with ScriptedOllama("qwen3:30b", "qwen3-coder:30b") as running:
        yield running


def with_model(settings: Settings, server: ScriptedOllama) -> Settings:
    return settings.model_copy(update={"ollama_base_url": server.base_url})


async def test_the_coding_model_writes_the_program_and_mends_it_by_its_error(
    settings: Settings, server: ScriptedOllama
) -> None:
    def coder(request: ChatRequest) -> Behaviour:
        broken = "KeyError" not in request.user
        code = PROGRAM.replace('["Sales"]', '["Revenue"]') if broken else PROGRAM
        return says(Code(code=code, explanation="The mean per month."))

    server.answers(coder)
    result = await ask(with_model(settings, server), mff=await mff_of(settings))
    assert result["outcome"] == "finished"
    assert result["generated_by"] == "ollama:qwen3-coder:30b"
    assert [chat.model for chat in server.chats] == ["qwen3-coder:30b"] * 2
    assert result["named_figures"]
    assert len(result["decisions"]) == 2


BAD_FIGURES = "open('out/figures.json', 'w').write('{\"best month\": NaN}')"
BAD_TABLE = "open('out/means.csv', 'w').write('a,b\\n\"1')"
BAD_BYTES = "open('out/means.csv', 'wb').write(b'\\xff\\xfe')"


@pytest.mark.parametrize("bad", [BAD_FIGURES, BAD_TABLE, BAD_BYTES])
async def test_an_answer_that_cannot_be_read_is_mended_by_the_model(
    settings: Settings, server: ScriptedOllama, bad: str
) -> None:
    def coder(request: ChatRequest) -> Behaviour:
        mended = re.search("The program should write|means.csv .content", request.user)
        return says(Code(code=PROGRAM if mended else bad, explanation="The mean per month."))

    server.answers(coder)
    result = await ask(with_model(settings, server), mff=await mff_of(settings))
    assert len(server.chats) == 2
    assert result["named_figures"]


async def test_a_file_that_is_not_taken_is_named_with_the_reason(settings: Settings) -> None:
    program = f"{PROGRAM}\nopen('out/means.svg', 'w').write('<svg/>')"
    result = await ask(settings, program)
    assert "Not taken: means.svg (type)" in result["answer"]


async def test_a_program_that_never_works_is_shown_with_how_it_ended(
    settings: Settings, server: ScriptedOllama
) -> None:
    server.answers(lambda request: says(Code(code="raise ValueError('no')", explanation="x")))
    result = await ask(with_model(settings, server), mff=await mff_of(settings))
    assert len(server.chats) == 3, "it is written once and mended at most twice"
    assert result["outcome"] == "error"
    assert "ValueError" in result["answer"]
    assert result["named_figures"] == {} and result["tables"] == []


async def test_a_program_is_shown_with_its_error_when_the_model_is_lost_before_it_is_mended(
    settings: Settings, server: ScriptedOllama
) -> None:
    code = "raise ValueError('no')"
    server.script(MODEL, says(Code(code=code, explanation="x")))
    server.answers(lambda request: Fails(500))
    result = await ask(with_model(settings, server), mff=await mff_of(settings))
    assert (result["outcome"], result["code"]) == ("error", code)
    assert result["generated_by"] == f"ollama:{MODEL}"


async def test_without_a_model_and_a_program_it_says_how_to_give_one(settings: Settings) -> None:
    with pytest.raises(UserError, match="--code FILE") as caught:
        await ask(settings)
    assert caught.value.code == "code_missing"


HOSTILE = {
    "reads outside": ("print(open('/etc/passwd').read())", "error"),
    "connects": ("import socket; socket.create_connection(('127.0.0.1', 22))", "error"),
    "starts a program": ("import os; os.fork(); print('forked')", "error"),
    "never ends": ("while True: pass", "cpu"),
    "takes memory": ("x = bytearray(3 << 30)", "memory"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", HOSTILE)
async def test_a_hostile_program_ends_visibly_and_gives_no_figure(
    settings: Settings, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(code_executor, "Limits", lambda: Limits(wall_s=600, cpu_s=10))
    code, outcome = HOSTILE[name]
    result = await ask(settings, code)
    assert result["outcome"] == outcome
    assert result["named_figures"] == {}
    assert "root:" not in json.dumps(result) and "forked" not in result["printed"]
    left = [p for p in (settings.home / "sandbox").iterdir() if p.name.startswith("job")]
    assert left == []


async def test_an_mff_that_is_not_there_is_named(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"nothing\.csv"):
        await ask(settings, PROGRAM, mff=str(tmp_path / "nothing.csv"))


@pytest.mark.parametrize(
    "content",
    [b"[1]", b"{}", b'{"a": "1"}', b'{"a": NaN}', b'{"a": true}', b'{"a": 1e999}', b"{", b"[" * 9999,
     b'{"a\\u0000": 1}', b'{"a": 1' + b"0" * 400 + b"}", b'{"a": "' + b"x" * 100_000 + b'"}'],
)  # fmt: skip
def test_figures_that_are_none_are_refused(content: bytes) -> None:
    with pytest.raises(MMMError) as caught:
        read_figures(content)
    assert caught.value.code == "answer_unreadable"
    assert len(caught.value.message) < 400


def test_a_table_is_cut_to_what_a_screen_takes_and_says_how_long_it_is() -> None:
    lines = ["a,b"] + [f"{i},{'x' * 500}" for i in range(300)]
    table = read_answer_table("t.csv", "\n".join(lines).encode(), "/p")
    assert table.rows_in_all == 300
    assert len(table.rows) == 20 and len(table.rows[0][1]) == 60


def test_a_cell_of_a_table_cannot_steer_the_terminal_that_shows_it() -> None:
    table = read_answer_table("t.csv", b'a\x1b]0;x\x07,b\n\x1b[2J1,"two\nlines"', "/p")
    assert (table.columns, table.rows) == (("a]0;x", "b"), (("[2J1", "two lines"),))
