"""A SuperLink and SuperNodes on this machine, with TLS and authenticated nodes.

    uv run python -m tests.deployment.loopback FOLDER

starts them, runs `flwr run` on a small scenario with the attacker inside, and stops them.
``docs/deployment.md`` shows the same commands one by one.
"""

from __future__ import annotations

import datetime
import ipaddress
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

ROOT = Path(__file__).parents[2]
HOST = "127.0.0.1"
NODES = 3
PATIENCE_S = 600.0
SCENARIO = """
title = "On a SuperLink"
seed = 3
model = { name = "mlp", hidden = [8] }

[federation]
rounds = 1
upload = "gradient"
batch_size = 1
learning_rate = 0.1
timeout_s = 600

[adversary]
attack = { name = "dlg", evaluations = 20 }

[[clients]]
name = "plain"
count = 3
"""


def certificates(folder: Path) -> tuple[Path, Path, Path]:
    """Write a certificate authority, and a certificate of the SuperLink with its key."""
    now = datetime.datetime.now(datetime.UTC)
    authority, own = (ec.generate_private_key(ec.SECP384R1()) for _ in range(2))
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "fedsim test authority")])

    def certificate(subject: x509.Name, key: ec.EllipticCurvePublicKey, *, ca: bool) -> bytes:
        hosts = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address(HOST))]
        made = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=2))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName(hosts), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.public_key()),
                critical=False,
            )
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        )
        if ca:
            usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
            made = made.add_extension(usage, critical=True)
        signed = made.sign(authority, hashes.SHA256())
        return signed.public_bytes(serialization.Encoding.PEM)

    host = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    paths = folder / "ca.pem", folder / "server.pem", folder / "server.key"
    paths[0].write_bytes(certificate(name, authority.public_key(), ca=True))
    paths[1].write_bytes(certificate(host, own.public_key(), ca=False))
    paths[2].write_bytes(
        own.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    paths[2].chmod(0o600)
    return paths


def node_keys(folder: Path, number: int) -> tuple[Path, Path]:
    """Write the private and the public key of a SuperNode."""
    key = ec.generate_private_key(ec.SECP384R1())
    private, public = folder / f"node-{number}", folder / f"node-{number}.pub"
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.OpenSSH,
            serialization.NoEncryption(),
        )
    )
    private.chmod(0o600)
    public.write_bytes(
        key.public_key().public_bytes(
            serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
        )
    )
    return private, public


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        return int(taken.getsockname()[1])


def command(name: str) -> str:
    """Return the path of a command of this environment."""
    return str(Path(sys.executable).with_name(name))


@contextmanager
def started(
    arguments: Sequence[str], log: Path, environment: Mapping[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as file:
        process = subprocess.Popen(
            arguments, stdout=file, stderr=file, env=environment, start_new_session=True
        )
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()


def flwr(*arguments: str, environment: Mapping[str, str], folder: Path) -> str:
    done = subprocess.run(
        [command("flwr"), *arguments],
        env=environment, cwd=folder, check=False, capture_output=True, text=True,
        timeout=PATIENCE_S,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"flwr {' '.join(arguments)}: {done.stdout}\n{done.stderr}")
    return done.stdout


def deployed_run(folder: Path, scenario: str = SCENARIO, nodes: int = NODES) -> Path:
    """Run a scenario on a SuperLink with authenticated SuperNodes under TLS; return its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    authority, certificate, key = certificates(folder)
    port, home = free_port(), folder / "home"
    environment = quiet(home)
    (home / "config.toml").write_text(
        f'[superlink.tls]\naddress = "{HOST}:{port}"\nroot-certificates = "{authority}"\n'
    )
    (folder / "scenario.toml").write_text(scenario)
    tls = ["--ssl-certfile", certificate, "--ssl-keyfile", key, "--ssl-ca-certfile", authority]
    superlink = [
        command("flower-superlink"), "--host", HOST, "--port", str(port),
        "--enable-supernode-auth", "--disable-runtime-dependency-installation",
        *map(str, tls),
    ]  # fmt: skip
    with ExitStack() as running:
        link = running.enter_context(started(superlink, folder / "superlink.log", environment))
        _wait_for(port, link, folder / "superlink.log")
        for number in range(nodes):
            private, public = node_keys(folder, number)
            flwr("supernode", "register", str(public), "tls", environment=environment, folder=ROOT)
            node = [
                command("flower-supernode"), "--superlink", f"{HOST}:{port}",
                "--root-certificates", str(authority),
                "--auth-supernode-private-key", str(private),
                "--port", str(free_port()),
                "--node-config", f"partition-id={number} num-partitions={nodes}",
                *map(str, tls),
            ]  # fmt: skip
            running.enter_context(started(node, folder / f"node-{number}.log", environment))
        return flwr_run(folder, "tls", environment)


def flwr_run(folder: Path, link: str, environment: Mapping[str, str], *options: str) -> Path:
    """Run ``scenario.toml`` of a folder with ``flwr run``; return the run folder."""
    out = folder / "run"
    config = f"scenario='{folder / 'scenario.toml'}' out='{out}'"
    flwr("run", ".", link, "--stream", "-c", config, *options, environment=environment, folder=ROOT)
    # The exit code of `flwr run` is 0 even if the run has failed.
    listed = flwr("ls", link, "--format", "json", environment=environment, folder=ROOT)
    statuses = [run["status"] for run in json.loads(listed)["runs"]]
    if statuses != ["finished:completed"]:
        raise RuntimeError(f"{statuses}; see the logs in {folder}")
    return out


def quiet(home: Path) -> dict[str, str]:
    """Return an environment in which Flower has its own home, and calls nobody."""
    home.mkdir(parents=True)
    own = {
        "FLWR_HOME": str(home),
        "FLWR_TELEMETRY_ENABLED": "0",
        "FLWR_DISABLE_UPDATE_CHECK": "1",
        "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
        "OMP_NUM_THREADS": "1",
        # Flower's commands call each other by name.
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    return {k: v for k, v in os.environ.items() if not k.startswith("PYTEST")} | own


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until a process listens on a port."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as tried:
            if not tried.connect_ex((HOST, port)):
                return
        time.sleep(0.2)
    raise RuntimeError(f"nothing listens on {HOST}:{port}; see {log}")


if __name__ == "__main__":
    print(deployed_run(Path(sys.argv[1]).absolute()))  # noqa: T201
