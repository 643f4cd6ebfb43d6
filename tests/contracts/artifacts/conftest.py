"""Every kind of store that machines may share: a folder, one by fsspec, and S3 over HTTP."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator

import fsspec
import pytest
from moto.server import ThreadedMotoServer

from mmm_workflows.db.fsspec_files import open_fsspec_files
from mmm_workflows.db.shared_folder import FolderFiles
from mmm_workflows.ports import SharedFiles

KINDS = ("folder", "file", "s3")
BUCKET = "mmm-artifacts"

type OpenFiles = Callable[[str], SharedFiles]


@pytest.fixture(scope="session")
def s3_address() -> Iterator[str]:
    """A server that speaks S3, with a bucket."""
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    address = f"http://{host}:{port}"
    with pytest.MonkeyPatch.context() as patch:
        set_s3(patch, address)
        fsspec.filesystem("s3", skip_instance_cache=True).mkdir(BUCKET)
    yield address
    server.stop()


def set_s3(patch: pytest.MonkeyPatch, address: str) -> None:
    """What an operator sets for S3."""
    patch.setenv("AWS_ENDPOINT_URL", address)
    patch.setenv("AWS_ACCESS_KEY_ID", "tests")
    patch.setenv("AWS_SECRET_ACCESS_KEY", "tests-of-mmm-workflows")
    patch.setenv("AWS_DEFAULT_REGION", "us-east-1")


@pytest.fixture
def open_files(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> OpenFiles:
    """A new, empty store of a kind."""

    def open_one(kind: str) -> SharedFiles:
        if kind == "folder":
            return FolderFiles(tmp_path_factory.mktemp("shared"))
        if kind == "file":
            return open_fsspec_files(f"file://{tmp_path_factory.mktemp('shared')}")
        set_s3(monkeypatch, request.getfixturevalue("s3_address"))
        return open_fsspec_files(f"s3://{BUCKET}/{secrets.token_hex(4)}")

    return open_one


@pytest.fixture(params=KINDS)
def files(request: pytest.FixtureRequest, open_files: OpenFiles) -> SharedFiles:
    return open_files(request.param)
