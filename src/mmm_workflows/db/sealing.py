"""How a checkpoint becomes bytes: strict msgpack, and encrypted where there is a key."""

from __future__ import annotations

from typing import Final

from langgraph.checkpoint.serde import _msgpack
from langgraph.checkpoint.serde.base import CipherProtocol
from langgraph.checkpoint.serde.encrypted import EncryptedSerializer
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from mmm_workflows.errors import SettingsError

CIPHER: Final = "aes"


class CheckpointSerializer(JsonPlusSerializer):
    """Writes under a key (32 bytes, AES-EAX) or in plain, and reads only what was so written.

    LangGraph's EncryptedSerializer also reads what is not encrypted, so that whoever can write to
    the database could put a plain checkpoint in the place of an encrypted one; this one does not.
    It is a JsonPlusSerializer because only such a one is told the types of a graph's state.

    Raises:
        RuntimeError: LangGraph was imported before this package, so that a checkpoint could call
            any function when it is read.
    """

    def __init__(self, key: bytes | None) -> None:
        if not _msgpack.STRICT_MSGPACK_ENABLED:
            raise RuntimeError("import mmm_workflows before langgraph: checkpoints would be unsafe")
        super().__init__()
        self._cipher = None if key is None else _cipher(key)

    @property
    def is_sealing(self) -> bool:
        """Whether there is a key."""
        return self._cipher is not None

    def dumps_typed(self, obj: object) -> tuple[str, bytes]:
        """The kind of an object and its bytes; the kind ends in ``+aes`` when they are sealed."""
        kind, plain = super().dumps_typed(obj)
        if self._cipher is None:
            return kind, plain
        name, sealed = self._cipher.encrypt(plain)
        return f"{kind}+{name}", sealed

    def loads_typed(self, data: tuple[str, bytes]) -> object:
        """The object again.

        Raises:
            SettingsError: It was written under another key, or one of both had none
                (``checkpoint_key``).
        """
        kind, _, cipher = data[0].partition("+")
        if self._cipher is None:
            if cipher:
                raise _refused("is encrypted, and no CHECKPOINT_KEY is set. Set the key")
            return super().loads_typed(data)
        if cipher != CIPHER:
            raise not_sealed()
        try:
            plain = self._cipher.decrypt(cipher, data[1])
        except ValueError as error:
            raise _refused(
                "was encrypted under another CHECKPOINT_KEY, or was changed. Set the key"
            ) from error
        return super().loads_typed((kind, plain))


def not_sealed() -> SettingsError:
    """The error for a plain checkpoint where there is a key."""
    return _refused(
        "is not encrypted, though CHECKPOINT_KEY is set; it may be from elsewhere. To trust it, "
        "unset the key as it was"
    )


def _refused(found: str) -> SettingsError:
    return SettingsError(
        f"A checkpoint of this run {found} when the run was started, then resume it; or start the "
        "run again under a new workflow_id.",
        code="checkpoint_key",
    )


def _cipher(key: bytes) -> CipherProtocol:
    return EncryptedSerializer.from_pycryptodome_aes(key=key).cipher
