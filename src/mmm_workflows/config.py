"""Settings: every environment variable that is read, its default, and what it switches on."""

from __future__ import annotations

import base64
import binascii
import os
import re
import string
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal, NamedTuple
from urllib.parse import SplitResult, parse_qsl, unquote, urlencode, urlsplit, urlunsplit

from platformdirs import user_cache_path, user_data_path
from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from mmm_workflows.errors import SettingsError
from mmm_workflows.masking import Mask

# Every switch a library of ours documents for its telemetry or tracing, turned off.
TELEMETRY_OFF: Final[Mapping[str, str]] = {
    "ANONYMIZED_TELEMETRY": "False",
    "DO_NOT_TRACK": "1",
    "LANGCHAIN_TRACING_V2": "false",
    "LANGSMITH_TRACING": "false",
    "LANGSMITH_TRACING_V2": "false",
    "ORT_DISABLE_TELEMETRY": "1",
}
# What a child process needs of ours; secrets are not among it.
CHILD_VARIABLES: Final = (
    "HOME",
    "LANG",
    "LC_ALL",
    "PATH",
    "SYSTEMROOT",
    "TMPDIR",
    "VIRTUAL_ENV",
)
# To the last '@': a password may hold a bare '/', and a path with an '@' loses its head to that.
CREDENTIALS: Final = re.compile(r"(?<=://)\S*@")
PASSWORD: Final = re.compile(r"://[^/:\s]*:([^/\s]+)@")
PASSWORD_WITH_SLASH: Final = re.compile(r"://[^/:\s]*:(\S+)@")
# Settings that switch a service on, and what is used while they are unset.
SERVICES: Final[Mapping[str, str]] = {
    "OLLAMA_BASE_URL": "rules in place of a language model",
    "NEO4J_URI": "Ladybug, an embedded graph",
    "DATABASE_URL": "SQLite",
    "ASYNC_DATABASE_URL": "SQLite",
    "REDIS_URL": "progress and limits within the process",
    "CHROMA_URL": "Chroma in a folder of its own",
    "DASK_SCHEDULER": "child processes on this machine",
    "ARTIFACTS_URL": "folders of this machine",
}

KEY_BYTES: Final = 32
_SCHEMES: Final = {"DATABASE_URL": "postgresql", "ASYNC_DATABASE_URL": "postgresql+asyncpg"}
# The one option of an address that both drivers have, each under its own name.
_ENCRYPTION_OPTIONS: Final = {"DATABASE_URL": "sslmode", "ASYNC_DATABASE_URL": "ssl"}


class DatabaseUrls(NamedTuple):
    """One PostgreSQL as its two drivers are told of it."""

    psycopg: str
    asyncpg: str


class Settings(BaseSettings):
    """What can be set by environment variables or a ``.env`` file in the working folder."""

    model_config = SettingsConfigDict(
        env_file=".env",
        env_file_encoding="utf-8",
        extra="ignore",
        frozen=True,
        env_ignore_empty=True,
    )

    ollama_base_url: str | None = Field(None, description="Ollama server; unset: rules")
    ollama_reasoning_model: str = Field("qwen3:30b", description="model that frames and explains")
    ollama_coding_model: str = Field("qwen3-coder:30b", description="model that writes code")
    ollama_embedding_model: str | None = Field(
        None, description="model of the Ollama server that embeds; unset: the one of this machine"
    )
    model: str | None = Field(
        None, description="another provider's model, as LangChain's init_chat_model names it"
    )
    model_timeout_s: float = Field(120.0, gt=0, description="seconds to wait for one reply")
    model_max_calls: int = Field(40, ge=0, description="calls of the language model per run")
    model_max_tokens: int = Field(200_000, ge=0, description="tokens in and out per run")
    model_reply_tokens: int = Field(2048, gt=0, description="tokens of one reply at most")
    web_search: Literal["off", "on"] = Field("off", description="whether Research searches the web")
    search_backend: str = Field("duckduckgo", description="search engine that ddgs is pinned to")
    web_contact: str = Field(
        "", description="where a site's owner can reach you, sent with requests"
    )
    chromium: Path | None = Field(
        None, description="Chromium for pages that need a browser (extra crawl); unset: none"
    )
    research_queries: int = Field(8, ge=0, description="searches per run of Research")
    research_pages: int = Field(20, ge=0, description="pages read per run of Research")
    research_bytes: int = Field(20_000_000, ge=0, description="bytes read per run of Research")
    research_minutes: float = Field(5.0, gt=0, description="minutes of the web per run of Research")
    neo4j_uri: str | None = Field(None, description="Neo4j server; unset: embedded Ladybug")
    neo4j_user: str = Field("neo4j", description="its user")
    neo4j_password: SecretStr | None = Field(None, description="its password")
    database_url: SecretStr | None = Field(None, description="PostgreSQL; unset: SQLite")
    async_database_url: SecretStr | None = Field(None, description="the same for asyncpg")
    database_patience_s: float = Field(
        300.0, ge=0, description="seconds that a run waits for a PostgreSQL that went away"
    )
    checkpoint_key: SecretStr | None = Field(
        None, description="32 bytes, base64 or hex, that encrypt checkpoints; unset: plain"
    )
    redis_url: SecretStr | None = Field(None, description="Redis; unset: in process")
    chroma_url: str | None = Field(None, description="Chroma server; unset: embedded")
    dask_scheduler: str | None = Field(None, description="Dask scheduler; unset: local processes")
    api_keys: SecretStr | None = Field(
        None, description="who may call the API, NAME:PROJECTS:SHA256 each (`new-key` makes them)"
    )
    allow_no_key: bool = Field(
        False, description="go without keys on any address; for a port published on 127.0.0.1"
    )
    allowed_hosts: str = Field(
        "", description="names of the service beside localhost, where there are no keys"
    )
    cors_origins: str = Field("", description="origins of pages that may call the API")
    data_dirs: str = Field("", description="folders that data_sources may lie in beside UPLOAD_DIR")
    data_connections: SecretStr | None = Field(
        None,
        description="databases that tables may be copied from, NAME:PROJECTS=URL each, as "
        "warehouse:*=postgresql://USER:PASSWORD@HOST/DATABASE",
    )
    forwarded_allow_ips: str = Field(
        "", description="proxies whose X-Forwarded-For is believed: addresses and networks"
    )
    requests_per_minute: int = Field(
        30_000, gt=0, description="of one key, or of one address without a key, at most"
    )
    starts_per_minute: int = Field(
        120, gt=0, description="starts and uploads of one key, or of one address without a key"
    )
    requests_at_once: int = Field(100, gt=0, description="requests worked on at once")
    sockets_at_once: int = Field(1000, gt=0, description="open WebSockets")
    workers: int = Field(
        2, ge=0, description="runs that the API works on at once; 0: it leaves them to workers"
    )
    lease_s: float = Field(
        30.0, ge=1, description="seconds until a run is taken from a worker that is not heard of"
    )
    drain_s: float = Field(
        5.0, ge=0, description="seconds that runs get to end when a worker is stopped"
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="what the log of `serve` says at least"
    )
    log_format: Literal["auto", "json", "text"] = Field(
        "auto", description="auto: text in a terminal, JSON elsewhere"
    )
    otel_exporter_otlp_endpoint: str | None = Field(
        None, description="OpenTelemetry collector (extra otel), over HTTP; unset: no traces"
    )
    upload_megabytes: int = Field(
        50, gt=0, le=2000, description="of one uploaded file or copied table, at most"
    )
    mmm_home: Path = Field(
        default_factory=lambda: user_data_path("mmm-workflows"),
        description="folder of the run database and the checkpoints",
    )
    mmm_cache: Path = Field(
        default_factory=lambda: user_cache_path("mmm-workflows"),
        description="folder of compiled models; may be deleted at any time",
    )
    upload_dir: Path | None = Field(None, description="uploaded files; unset: MMM_HOME/uploads")
    model_dir: Path | None = Field(None, description="fitted models; unset: MMM_HOME/models")
    output_dir: Path | None = Field(None, description="artifacts; unset: MMM_HOME/outputs")
    artifacts_url: str | None = Field(
        None,
        description="store of uploads, artifacts and models that machines share: a folder, or a "
        "URL as s3://BUCKET/FOLDER (extra s3); unset: none",
    )

    @property
    def home(self) -> Path:
        """The folder of the run database and the checkpoints, absolute."""
        return self.mmm_home.expanduser().absolute()

    @property
    def cache(self) -> Path:
        """The folder of compiled models, absolute."""
        return self.mmm_cache.expanduser().absolute()

    @property
    def uploads(self) -> Path:
        """Where uploaded files lie, absolute."""
        return self._folder(self.upload_dir, "uploads")

    @property
    def models(self) -> Path:
        """Where fitted models lie, absolute."""
        return self._folder(self.model_dir, "models")

    @property
    def outputs(self) -> Path:
        """Where artifacts lie, absolute."""
        return self._folder(self.output_dir, "outputs")

    @property
    def upload_bytes(self) -> int:
        """What one uploaded file or copied table may hold."""
        return self.upload_megabytes << 20

    @property
    def data_folders(self) -> tuple[Path, ...]:
        """The folders of DATA_DIRS, absolute."""
        parts = [part for part in self.data_dirs.split(os.pathsep) if part.strip()]
        return tuple(Path(part.strip()).expanduser().absolute() for part in parts)

    @property
    def database_urls(self) -> DatabaseUrls | None:
        """The PostgreSQL that is set, one address derived from the other; None: SQLite.

        Raises:
            SettingsError: The address cannot be read, or has an option that only one driver knows.
        """
        both = {"DATABASE_URL": self.database_url, "ASYNC_DATABASE_URL": self.async_database_url}
        given = {name: url.get_secret_value() for name, url in both.items() if url is not None}
        if not given:
            return None
        return DatabaseUrls(
            psycopg=_address(given, "DATABASE_URL"), asyncpg=_address(given, "ASYNC_DATABASE_URL")
        )

    @property
    def encryption_key(self) -> bytes | None:
        """The key of the checkpoints, 32 bytes; None: they are not encrypted.

        Raises:
            SettingsError: It is not base64 or hex, or has another length.
        """
        if self.checkpoint_key is None:
            return None
        return _key_bytes(self.checkpoint_key.get_secret_value().strip())

    def secrets(self) -> tuple[str, ...]:
        """Every value that no log may show: the secret settings, and the passwords of addresses."""
        values = [getattr(self, name) for name in type(self).model_fields]
        secret = [v.get_secret_value() for v in values if isinstance(v, SecretStr)]
        texts = [*secret, *(v for v in values if isinstance(v, str))]
        # Several addresses in one setting are one match of the second, and one each of the first.
        patterns = (PASSWORD, PASSWORD_WITH_SLASH)
        passwords = [found for text in texts for p in patterns for found in p.findall(text)]
        return (*secret, *passwords, *map(unquote, passwords))

    def services_set(self) -> dict[str, str]:
        """The services that are switched on: variable -> value, secrets masked."""
        found = {name: getattr(self, name.lower()) for name in SERVICES}
        return {name: _masked(value) for name, value in found.items() if value is not None}

    def shown(self) -> dict[str, str]:
        """Every setting as ``doctor`` prints it; secrets are masked, in addresses too."""
        values = {name: getattr(self, name) for name in type(self).model_fields}
        return {name.upper(): "" if v is None else _masked(v) for name, v in values.items()}

    def _folder(self, given: Path | None, name: str) -> Path:
        return (given.expanduser() if given else self.home / name).absolute()


def read_settings() -> Settings:
    """The settings of this moment.

    Raises:
        SettingsError: A variable has a value that cannot be used; it is named.
    """
    try:
        return Settings()
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]).upper()
        raise SettingsError(f"The setting {name} cannot be used: {first['msg']}.") from error
    except UnicodeDecodeError as error:
        raise SettingsError(
            f"The file .env is not UTF-8 text: {error}. Save it as UTF-8."
        ) from error


def _masked(value: object) -> str:
    """The value as text, without the name, password and tokens that an address may hold."""
    return Mask().text(CREDENTIALS.sub("***@", str(value)))


def silence_telemetry() -> None:
    """Turn off the telemetry and tracing of every library, whatever the environment says."""
    os.environ.update(TELEMETRY_OFF)


def child_environment() -> dict[str, str]:
    """The environment of a child process: what it needs, and none of the secrets."""
    kept = {name: os.environ[name] for name in CHILD_VARIABLES if name in os.environ}
    return {**kept, **TELEMETRY_OFF}


def _address(given: Mapping[str, str], wanted: str) -> str:
    """The address of one driver: as it is given, or derived from the other driver's."""
    name = wanted if wanted in given else next(iter(given))
    parts = _parts(name, given[name])
    query = parts.query if name == wanted else _renamed(name, wanted, parts.query)
    return urlunsplit((_SCHEMES[wanted], parts.netloc, parts.path, query, ""))


def _parts(name: str, url: str) -> SplitResult:
    # What urlsplit says of a bad address may hold a piece of the password: it is not passed on.
    try:
        parts = urlsplit(url)
        whole = all((parts.hostname, parts.path.strip("/"), parts.port != 0))
    except ValueError:
        whole = False
    is_postgres = whole and parts.scheme.split("+")[0] in ("postgresql", "postgres")
    # An '@' behind the first '/' says that the password holds a bare '/'.
    if not is_postgres or "@" in parts.path:
        raise SettingsError(
            f"{name} cannot be used: it is no address of a PostgreSQL. Expected "
            f"{_SCHEMES[name]}://USER:PASSWORD@HOST:PORT/DATABASE, with '/', '@', ':' and '%' of "
            "the password written as %2F, %40, %3A and %25."
        ) from None
    return parts


def _renamed(name: str, wanted: str, query: str) -> str:
    options = parse_qsl(query, keep_blank_values=True)
    unknown = [option for option, _ in options if option != _ENCRYPTION_OPTIONS[name]]
    if unknown:
        raise SettingsError(
            f"{name} has the option {unknown[0]!r}, which {wanted} cannot be derived with: the "
            f"two drivers name their options differently. Set {wanted} as well."
        )
    return urlencode([(_ENCRYPTION_OPTIONS[wanted], value) for _, value in options])


def _key_bytes(text: str) -> bytes:
    try:
        is_hex = set(text) <= set(string.hexdigits)
        key = bytes.fromhex(text) if is_hex else base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        found = "neither base64 nor hex"
    else:
        if len(key) == KEY_BYTES:
            return key
        found = f"{len(key)} bytes"
    raise SettingsError(
        f"CHECKPOINT_KEY cannot be used: it holds {found}. Expected {KEY_BYTES} bytes in base64 or "
        "hex; `openssl rand -base64 32` makes some."
    )
