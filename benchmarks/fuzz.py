"""Uploads that nobody should send: what the service says to them, and what it leaves on the disk.

python benchmarks/fuzz.py [--requests 10000] [--seed 1] [--out benchmarks/reports]

Names, contents and forms are drawn from one seed. No answer may be a 5xx or hold a traceback, and
nothing may lie anywhere but under the hash of its content in the folder of its project. The report
names the code it measured; `--check` says whether it is out of date.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import os
import platform
import random
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import httpx
from under_load.page import code_digest, commit

CLI = [sys.executable, "-c", "from mmm_workflows.cli import main; main()"]
MARK = b"fuzz-mark"
KEPT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}/[0-9a-f]{2}/[0-9a-f]{64}/[A-Za-z0-9._-]{1,100}")
NAMES = [
    b"sales.csv", b"../../../../tmp/mark.csv", b"..\\..\\mark.csv", b"/etc/passwd", b"C:\\mark.csv", b"",
    b".", b"..", b"\x00.csv", b"a\x00b.csv", b"x" * 5000, b"\xff\xfe.csv", b"\xed\xa0\x80.csv", b'a".csv',
    b"a%00.csv", b"%2e%2e%2fmark.csv", "é\u202egpj.csv".encode(), b".hidden", b"-rf", b"con.csv", b"a\tb.csv",
    b"~/.bashrc", b"$(touch mark)", b"a;b.csv", b".1.2.partial",
]  # fmt: skip
PROJECTS = [b"default", b"brand-a", b"../x", b"", b"\x00", b"a/b", b"x" * 500, b"\xff", b".", b".."]
TABLE = b"date,sales,tv\n2024-01-01,1,2\n2024-01-08,2,3\n"


@dataclass
class Outcome:
    """What was answered, what is wrong with it, and what else the page says of it."""

    answers: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    more: str = ""

    @property
    def sent(self) -> int:
        """How many requests were answered."""
        return self.answers.total()


type Attack = Callable[..., Outcome]
type Prepare = Callable[[Path], None]


@dataclass(frozen=True, kw_only=True)
class Report:
    """A page of benchmarks/reports; ``sources`` is what it measures, and what measures it."""

    page: str
    title: str
    program: str
    what: str
    packages: Sequence[str]
    sources: Sequence[str]

    def is_of_this_code(self, folder: Path) -> bool:
        """Whether the page that lies in a folder names the code that lies here."""
        place = folder / self.page
        return place.is_file() and self._code() in place.read_text(encoding="utf-8")

    def text(self, outcome: Outcome, *, seed: int, wall_s: float) -> str:
        """The page of what was found just now."""
        versions = ", ".join(f"{name} {version(name)}" for name in self.packages)
        rows = "\n".join(f"| {said} | {n} |" for said, n in outcome.answers.most_common())
        faults = "\n".join(f"- {fault}" for fault in outcome.faults) or "None."
        return (
            f"# {self.title}\n\n"
            f"Made by `{self.program} --requests {outcome.sent} --seed {seed}`, "
            f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {self._code()}, "
            f"commit {commit(self.sources)}; "
            f"Python {platform.python_version()}, {versions}; {wall_s:.0f} s.\n\n"
            f"{self.what}\n\n{outcome.more}"
            f"| answer | requests |\n|---|---|\n{rows}\n\n## Faults\n\n{faults}\n"
        )

    def _code(self) -> str:
        return f"code {code_digest(self.sources)[:12]}"


UPLOADS = Report(
    page="fuzz.md",
    title="Hostile uploads",
    program="benchmarks/fuzz.py",
    what=(
        "Names, contents and forms are drawn from the seed. An answer of 5xx, a traceback, or a file "
        "anywhere but under the hash of its content in the folder of its project is a fault."
    ),
    packages=("fastapi", "starlette", "python-multipart", "uvicorn"),
    sources=("src", "benchmarks/fuzz.py", "uv.lock"),
)


def forms(seed: int, count: int) -> Iterator[tuple[str, bytes]]:
    """Content types and bodies of uploads, drawn from a seed."""
    drawn = random.Random(seed)
    for number in range(count):
        yield _form(drawn, number)


def _form(drawn: random.Random, number: int) -> tuple[str, bytes]:
    boundary = f"b{number}"
    parts = [_part(b"file", drawn.choice(NAMES), _content(drawn, number), drawn)]
    if drawn.random() < 0.3:
        parts.insert(drawn.randrange(2), _field(b"project", drawn.choice(PROJECTS)))
    trick = drawn.choice(TRICKS)
    return trick(drawn, boundary, parts)


def _part(name: bytes, filename: bytes, content: bytes, drawn: random.Random) -> bytes:
    kind = drawn.choice([*[b"text/csv"] * 4, b"application/x-gzip", b"image/png", b"", b"x/\xff"])
    quoted = filename.replace(b'"', drawn.choice([b'\\"', b'"', b"%22"]))
    form = drawn.choice([*[b'filename="%b"'] * 6, b"filename=%b", b"filename*=utf-8''%b"]) % quoted
    return b'Content-Disposition: form-data; name="%b"; %b\r\nContent-Type: %b\r\n\r\n%b' % (name, form, kind, content)  # fmt: skip


def _field(name: bytes, value: bytes) -> bytes:
    return b'Content-Disposition: form-data; name="%b"\r\n\r\n%b' % (name, value)


def _content(drawn: random.Random, number: int) -> bytes:
    table = TABLE + b"%b,%d,1\n" % (MARK, number)
    return drawn.choice(CONTENTS)(drawn, table)


def _damaged(drawn: random.Random, table: bytes) -> bytes:
    held = bytearray(table)
    for _ in range(drawn.randrange(1, 6)):
        held[drawn.randrange(len(held))] = drawn.randrange(256)
    return bytes(held)


CONTENTS: list[Callable[[random.Random, bytes], bytes]] = [
    lambda drawn, table: table,
    _damaged,
    lambda drawn, table: table[: drawn.randrange(len(table))],
    lambda drawn, table: table + drawn.randbytes(drawn.randrange(2000)),
    lambda drawn, table: drawn.randbytes(drawn.randrange(2000)),
    lambda drawn, table: gzip.compress(b"0" * (1 << 20)),
    lambda drawn, table: b"PK\x03\x04" + table,
    lambda drawn, table: table.decode().encode("utf-16"),
    lambda drawn, table: b"\xef\xbb\xbf" + table,
    lambda drawn, table: b"," * drawn.randrange(1, 200_000),
    lambda drawn, table: b"a" * drawn.randrange(1, 300_000),
    lambda drawn, table: b'"' * drawn.randrange(1, 9) + table,
    lambda drawn, table: table.replace(b"\n", drawn.choice([b"\r", b"\r\n", b"\n\n", b"\x85", b"\x0b"])),
    lambda drawn, table: table.replace(b",", drawn.choice([b";", b"\t", b"|", b"\x00", b",,"])),
    lambda drawn, table: b"Period,Geography,Product,Campaign,Outlet,Creative,VariableName,VariableValue\n" + table,
    lambda drawn, table: b'=cmd|"/c calc"!A0,b\n1,2\n' + MARK,
    lambda drawn, table: b"",
]  # fmt: skip


def _closed(boundary: str, parts: list[bytes]) -> bytes:
    line = f"--{boundary}".encode()
    return b"".join(line + b"\r\n" + part + b"\r\n" for part in parts) + line + b"--\r\n"


def _kind(boundary: str) -> str:
    return f"multipart/form-data; boundary={boundary}"


TRICKS: list[Callable[[random.Random, str, list[bytes]], tuple[str, bytes]]] = [
    *[lambda drawn, b, parts: (_kind(b), _closed(b, parts))] * 20,
    lambda drawn, b, parts: (_kind(b), _closed(b, parts * 3)),
    lambda drawn, b, parts: (_kind(b), _closed(b, [_field(b"file", TABLE)])),
    lambda drawn, b, parts: (_kind(b), _closed(b, [_field(b"f%d" % i, b"") for i in range(1500)])),
    lambda drawn, b, parts: (_kind(b), _closed(b, parts)[: drawn.randrange(1, 200)]),
    lambda drawn, b, parts: (_kind(b), _closed(b, parts) + _closed(b, parts)),
    lambda drawn, b, parts: (_kind(b), _closed(b, [parts[-1] + b"\r\n--" + b.encode() + b"\r\nx"])),
    lambda drawn, b, parts: (_kind(b), b"--" + b.encode() + b"\r\n" + b"X: " + b"y" * 70_000),
    lambda drawn, b, parts: (_kind("other"), _closed(b, parts)),
    lambda drawn, b, parts: ("multipart/form-data", _closed(b, parts)),
    lambda drawn, b, parts: (_kind("b" * 500), _closed("b" * 500, parts)),
    lambda drawn, b, parts: (f"{_kind(b)}; charset=utf-7", _closed(b, parts)),
    lambda drawn, b, parts: ("application/json", b'{"file": "x"}'),
    lambda drawn, b, parts: ("application/x-www-form-urlencoded", b"file=x&project=y"),
    lambda drawn, b, parts: (_kind(b), drawn.randbytes(500)),
]


def attack(address: str, *, seed: int, count: int) -> Outcome:
    """Send them all."""
    outcome = Outcome()
    with httpx.Client(base_url=f"http://{address}", timeout=60) as client:
        for number, (kind, body) in enumerate(forms(seed, count)):
            try:
                answer = client.post("/upload", content=body, headers={"content-type": kind})
            except httpx.TransportError as error:
                outcome.faults.append(f"request {number} was not answered: {error}")
                continue
            outcome.answers[_said(answer)] += 1
            fault = _fault(answer)
            if fault:
                outcome.faults.append(f"request {number}: {fault}: {answer.text[:200]}")
    return outcome


def _said(answer: httpx.Response) -> str:
    is_json = "json" in answer.headers.get("content-type", "")
    code = answer.json().get("code") if is_json and answer.status_code >= 400 else None
    return f"{answer.status_code} {code or 'kept'}"


def _fault(answer: httpx.Response) -> str | None:
    if answer.status_code >= 500:
        return f"{answer.status_code}"
    if "Traceback" in answer.text:
        return "a traceback"
    expected = "application/json" if answer.status_code < 400 else "application/problem+json"
    return None if answer.headers["content-type"] == expected else "no problem of ours"


def _read(path: Path) -> bytes:
    """What a file holds; nothing where it went meanwhile, as a journal does."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""


def _misplaced(home: Path, before: set[Path]) -> list[str]:
    uploads = home / "uploads"
    found = []
    for path in sorted(p for p in home.rglob("*") if not p.is_dir() and p not in before):
        if not path.is_relative_to(uploads):
            if MARK in _read(path):
                found.append(f"{path} lies outside of the uploads")
            continue
        relative = path.relative_to(uploads).as_posix()
        if path.is_symlink() or KEPT.fullmatch(relative) is None:
            found.append(f"{relative} has no place under its hash")
        elif hashlib.sha256(path.read_bytes()).hexdigest() != path.parent.name:
            found.append(f"{relative} is not what its hash says")
    return found


@contextmanager
def _free_port() -> Iterator[int]:
    """A port that nobody else is given as long as the block lasts; a server may listen on it."""
    with socket.socket() as held:
        # So that another socket with this option may have the port, as each server of asyncio's has.
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


@contextmanager
def served(home: Path) -> Iterator[str]:
    """A server with a home and a folder for temporary files of its own, in one folder."""
    (home / "tmp").mkdir(parents=True)
    environment = {
        **os.environ, "MMM_HOME": str(home), "TMPDIR": str(home / "tmp"), "STARTS_PER_MINUTE": "10000000",
    }  # fmt: skip
    with (
        _free_port() as port,
        (home / "log.txt").open("wb") as said,
        subprocess.Popen(
            [*CLI, "serve", "--port", str(port)], cwd=home, env=environment, stdout=said,
            stderr=subprocess.STDOUT, start_new_session=True,
        ) as process,
    ):  # fmt: skip
        try:
            _wait_for(port, process)
            yield f"127.0.0.1:{port}"
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(timeout=30)


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    while process.poll() is None:
        try:
            httpx.get(f"http://127.0.0.1:{port}/health", timeout=60)
        except httpx.TransportError:
            time.sleep(0.1)
        else:
            return
    raise RuntimeError("the server ended")


def run(
    *, seed: int, count: int, attack: Attack = attack, prepare: Prepare | None = None
) -> Outcome:
    """Attack a server of its own; then look at every file that it left, and read its log.

    Args:
        seed: What is drawn from.
        count: How many requests are sent.
        attack: What sends them.
        prepare: What is done with the home before it is served.
    """
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch) / "home"
        if prepare is not None:
            prepare(home)
        with served(home) as address:
            before = {path for path in home.rglob("*") if path.is_file()}
            outcome = attack(address, seed=seed, count=count)
            outcome.faults += _misplaced(home, before)
        left = [path.name for path in (home / "tmp").iterdir()]
        if left:
            outcome.faults.append(f"left among temporary files: {', '.join(left[:5])}")
        beside = [path.name for path in Path(scratch).iterdir() if path != home]
        if beside:
            outcome.faults.append(f"left beside the home: {', '.join(beside)}")
        if b"Traceback" in (home / "log.txt").read_bytes():
            outcome.faults.append("a traceback stands in the log")
    return outcome


def main(attack: Attack, report: Report, *, prepare: Prepare | None = None) -> int:
    """Run it and write the report; the exit status says whether a fault was found."""
    parser = argparse.ArgumentParser(description=report.title)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/reports"))
    parser.add_argument("--check", action="store_true")
    asked = parser.parse_args()
    if asked.check:
        if not report.is_of_this_code(asked.out):
            print(
                f"note: benchmarks/reports/{report.page} measured older code; "
                f"run `python {report.program}`."
            )
        return 0
    began = time.monotonic()
    outcome = run(seed=asked.seed, count=asked.requests, attack=attack, prepare=prepare)
    page = report.text(outcome, seed=asked.seed, wall_s=time.monotonic() - began)
    (asked.out / report.page).write_text(page, encoding="utf-8")
    print(page)
    return 1 if outcome.faults else 0


if __name__ == "__main__":
    raise SystemExit(main(attack, UPLOADS))
