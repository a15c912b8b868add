"""Which controller meets which engines, and which of the pairings a run covers."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Kind = Literal["ours", "real"]


@dataclass(frozen=True)
class Pairing:
    """One combination of controller and engines; the client is always the real one."""

    name: str
    controller: Kind
    engines: Kind

    @property
    def our_controller(self) -> bool:
        """Whether the controller is ours."""
        return self.controller == "ours"

    @property
    def our_engines(self) -> bool:
        """Whether the engines are ours."""
        return self.engines == "ours"


A = Pairing("A", "ours", "real")
B = Pairing("B", "real", "ours")
C = Pairing("C", "ours", "ours")
REAL = Pairing("real", "real", "real")
ALL = (A, B, C, REAL)
OUR_CONTROLLER = (A, C)
OUR_ENGINES = (B, C)


def selected() -> tuple[Pairing, ...]:
    """Pairings of this run: A, B and C, or only the oracle with ``IPF_WIRE_ORACLE=1``."""
    if os.environ.get("IPF_WIRE_ORACLE", "") not in {"", "0"}:
        return (REAL,)
    names = os.environ.get("IPF_WIRE_PAIRINGS", "A,B,C").split(",")
    return tuple(pairing for pairing in ALL if pairing.name in names)


class BinaryMissingError(RuntimeError):
    """Our binary is not installed where the tests look for it."""


def our_binary(name: str) -> Path:
    """Path of our ``name``: in ``$IPF_BIN_DIR``, else beside ``sys.executable``."""
    directory = Path(os.environ.get("IPF_BIN_DIR") or Path(sys.executable).parent)
    path = directory / name
    if not path.is_file():
        raise BinaryMissingError(f"{path} does not exist; set IPF_BIN_DIR")
    head = path.read_bytes()[:4096]
    if not head.startswith(b"\x7fELF") and b"ipyparallel" in head:
        raise BinaryMissingError(f"{path} is ipyparallel's script, not ours; set IPF_BIN_DIR")
    return path


def command(kind: Kind, role: Literal["controller", "engine"]) -> list[str]:
    """The argv prefix that starts a controller or an engine."""
    if kind == "real":
        return [sys.executable, "-m", f"ipyparallel.{role}"]
    return [str(our_binary(f"ip{role}"))]
