"""Addresses on which a process and its descendants listen, by /proc: `ss` is not everywhere."""

import os
import socket
import struct
from pathlib import Path

LISTENING = "0A"
PROC = Path("/proc")


def listening(root: int | None = None) -> set[str]:
    """Return the addresses on which a process and its descendants listen for TCP.

    Args:
        root: the process; this one by default.
    """
    inodes = {i for pid in family(os.getpid() if root is None else root) for i in sockets(pid)}
    return {
        address
        for table in ("tcp", "tcp6")
        if (PROC / "net" / table).exists()
        for address, inode in entries((PROC / "net" / table).read_text("ascii"))
        if inode in inodes
    }


def family(root: int) -> set[int]:
    """Return a process and all of its descendants."""
    parents = {}
    for place in PROC.glob("[0-9]*"):
        try:
            stat = (place / "stat").read_text("utf-8", errors="replace")
        except OSError:  # it has ended meanwhile
            continue
        parents[int(place.name)] = int(stat.rpartition(")")[2].split()[1])
    found, size = {root}, 0
    while len(found) > size:
        size = len(found)
        found |= {pid for pid, parent in parents.items() if parent in found}
    return found


def sockets(pid: int) -> set[str]:
    """Return the inodes of a process's open sockets."""
    found = set()
    try:
        for file in (PROC / str(pid) / "fd").iterdir():
            target = str(file.readlink())
            if target.startswith("socket:["):
                found.add(target[len("socket:[") : -1])
    except OSError:
        pass
    return found


def entries(table: str) -> list[tuple[str, str]]:
    """Return address and inode of the listening sockets of a table of the kernel."""
    rows = [line.split() for line in table.splitlines()[1:]]
    return [(plain(row[1].partition(":")[0]), row[9]) for row in rows if row[3] == LISTENING]


def plain(address: str) -> str:
    """Return an address of the kernel's tables, whose words are in the machine's byte order."""
    words = [int(address[i : i + 8], 16) for i in range(0, len(address), 8)]
    packed = struct.pack(f"={len(words)}I", *words)
    if len(words) == 1:
        return socket.inet_ntop(socket.AF_INET, packed)
    found = socket.inet_ntop(socket.AF_INET6, packed)
    return found.removeprefix("::ffff:")
