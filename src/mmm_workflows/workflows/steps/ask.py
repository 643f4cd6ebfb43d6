"""What Ask does in each phase: code is written, run in the sandbox, and its answer is read as data."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

from langgraph.runtime import Runtime

from mmm_workflows.errors import MMMError, UserError
from mmm_workflows.mmm.answers import (
    FIGURES,
    AnswerPicture,
    AnswerTable,
    describe_answer,
    describe_columns,
    read_answer_table,
    read_figures,
)
from mmm_workflows.mmm.dataset import read_mff
from mmm_workflows.records import Decision, Json, Who
from mmm_workflows.tools.code_executor import CodeRun
from mmm_workflows.workflows.context import Context
from mmm_workflows.workflows.contracts import AskBody
from mmm_workflows.workflows.graph import Update
from mmm_workflows.workflows.outputs import Code
from mmm_workflows.workflows.state import AskState

PERSON: Final = "person"
# A program that fails is mended by the model that wrote it at most so often.
REPAIRS: Final = 2
TABLE: Final = ".csv"
SAID_BACK: Final = 2000


async def load_data(state: AskState, runtime: Runtime[Context]) -> Update:
    """Check the MFF and lay out one row per period, as the program will find it."""
    table, columns, target = await asyncio.to_thread(_lay_out, state.request.mff_data_path)
    context = runtime.context
    data = await context.keep("ask_data", "data.csv", table)
    described = await context.keep("ask_columns", "columns.txt", columns.encode())
    return {"data_path": data.path, "columns_path": described.path, "target": target}


async def write_code(state: AskState, runtime: Runtime[Context]) -> Update:
    """Take a person's program, or have the coding model write one."""
    if state.request.code is not None:
        return await _keep_code(state.request.code, PERSON, runtime.context)
    code, written_by = await _written(state, runtime.context, "nothing so far")
    return await _keep_code(code, written_by, runtime.context)


async def run_code(state: AskState, runtime: Runtime[Context]) -> Update:
    """Run it where it can do no harm; one that a model wrote may be mended."""
    context = runtime.context
    executor = await context.open_executor()
    inputs = {"data.csv": Path(state.data_path), "mff.csv": Path(state.request.mff_data_path)}
    update: Update = {}
    code = await asyncio.to_thread(Path(state.code_path).read_text, encoding="utf-8")
    for repairs_left in reversed(range(REPAIRS + 1)):
        run = await executor.run(code, inputs)
        trouble = await asyncio.to_thread(_trouble, run)
        if trouble is None or state.written_by == PERSON or not repairs_left:
            break
        try:
            code, written_by = await _written(
                state, context, f"{trouble}\n\nThe program was:\n{code}"
            )
        except UserError:
            # Nobody is there to mend it: the program is shown with how it ended.
            break
        update = await _keep_code(code, written_by, context)
    paths = {}
    for file in run.files:
        kept = await context.keep("answer", file.name, file.content)
        paths[file.name] = kept.path
    # The files are artifacts of their own by now.
    ended = await context.keep_json("code_run", run.model_copy(update={"files": ()}))
    return {**update, "run_path": ended.path, "output_paths": paths}


async def answer(state: AskState, runtime: Runtime[Context]) -> Update:
    """Read the figures, tables and pictures that the program wrote, and assemble the result."""
    body = await asyncio.to_thread(_body, state)
    artifact = await runtime.context.keep_json("ask_result", body)
    return {"body_path": artifact.path}


async def _written(state: AskState, context: Context, mistakes: str) -> tuple[str, str]:
    """The coding model's program and its name.

    Raises:
        UserError: There is no model, or none of its replies is a program (``code_missing``).
    """
    columns = await asyncio.to_thread(Path(state.columns_path).read_text, encoding="utf-8")
    filled = await context.coder.fill(
        Code, "ask_code",
        {
            "question": state.request.question,
            "columns": columns,
            "target": state.target,
            "mistakes": mistakes[:SAID_BACK],
        },
    )  # fmt: skip
    if filled.value is None:
        raise UserError(
            f"No program answers the question yet ({filled.generated_by}). Set OLLAMA_BASE_URL or "
            "MODEL to have one written, or give your own (--code FILE): it reads data.csv and "
            f"writes out/{FIGURES}, tables as CSV and pictures as PNG.",
            code="code_missing",
        )
    return filled.value.code, filled.generated_by


async def _keep_code(code: str, written_by: str, context: Context) -> Update:
    kept = await context.keep("code", "program.py", code.encode())
    decision = Decision(
        project=context.project,
        question="Which program answers the question?",
        options=(PERSON, "coding model"),
        choice=kept.sha256,
        reason=f"written by {written_by}",
        evidence=kept.path,
        who=Who.PERSON if written_by == PERSON else Who.MODEL,
    )
    await context.record([decision])
    return {"code_path": kept.path, "written_by": written_by}


def _trouble(run: CodeRun) -> str | None:
    """What a model should mend: how it ended, or an answer that cannot be read."""
    if run.outcome != "finished":
        return f"{run.message}\n{run.stderr[-SAID_BACK // 2:]}"
    if not run.files:
        return f"The program wrote no file into the folder out.{_not_taken(run)}"
    try:
        for file in run.files:
            if file.name == FIGURES:
                read_figures(file.content)
            elif file.name.lower().endswith(TABLE):
                read_answer_table(file.name, file.content, path="")
    except MMMError as error:
        return error.message
    return None


def _lay_out(path: str) -> tuple[bytes, str, str]:
    dataset = read_mff(Path(path))
    frame = dataset.national()
    table = frame.to_csv(date_format="%Y-%m-%d", lineterminator="\n").encode()
    return table, describe_columns(dataset), dataset.target.name


def _body(state: AskState) -> AskBody:
    run = CodeRun.model_validate_json(Path(state.run_path).read_bytes())
    files = {name: Path(path).read_bytes() for name, path in state.output_paths.items()}
    figures = read_figures(files[FIGURES]) if FIGURES in files else {}
    tables = tuple(
        read_answer_table(name, content, state.output_paths[name])
        for name, content in _ending(files, TABLE)
    )
    pictures = tuple(
        AnswerPicture(name=name, path=state.output_paths[name])
        for name, _ in _ending(files, ".png")
    )
    code = Path(state.code_path).read_text(encoding="utf-8")
    return AskBody(
        generated_by=state.written_by,
        question=state.request.question,
        answer=_said(run, figures, tables, pictures),
        named_figures=figures,
        tables=tables,
        pictures=pictures,
        printed=run.stdout,
        outcome=run.outcome,
        sandbox=run.mode,
        seconds=run.seconds,
        code=code,
        code_path=state.code_path,
    )


def _said(
    run: CodeRun,
    figures: dict[str, float],
    tables: tuple[AnswerTable, ...],
    pictures: tuple[AnswerPicture, ...],
) -> str:
    if run.outcome != "finished":
        return run.message
    said = describe_answer(figures, [t.name for t in tables], [p.name for p in pictures])
    return f"{said}{_not_taken(run)}"


def _not_taken(run: CodeRun) -> str:
    names = ", ".join(f"{left.name} ({left.reason})" for left in run.left_out)
    return f" Not taken: {names}." if names else ""


def _ending(files: dict[str, bytes], suffix: str) -> list[tuple[str, bytes]]:
    return [(n, content) for n, content in sorted(files.items()) if n.lower().endswith(suffix)]


def first_state(request: Json) -> AskState:
    """The state that a run starts from."""
    return AskState.model_validate({"request": request})
