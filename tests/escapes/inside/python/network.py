"""Attempts over the network: the host's services, the cloud's, the neighbours'."""

import socket

from tries import SECONDS, Tries, connect


def gateway():
    """The host's address on the bridge; None without a route."""
    with open("/proc/net/route") as table:
        for line in table:
            fields = line.split()
            if fields[1] == "00000000":
                packed = bytes.fromhex(fields[2])
                return ".".join(map(str, reversed(packed)))
    return None


def host_services(event, context):
    """Redis and whatever else listens on the host, by every address that it has."""
    tries = Tries()
    for host, port in event["host_services"]:
        tries(f"{host}:{port}", connect, host, port)
        tries(f"{host}:{port} UDP", connect, host, port, socket.SOCK_DGRAM)
    for port in {port for _, port in event["host_services"]} | {2375, 2376, 6379, 4566}:
        for host in filter(None, (gateway(), "127.0.0.1", "0.0.0.0")):
            tries(f"{host}:{port}", connect, host, port)
    return tries


def metadata(event, context):
    """The host's credentials."""
    tries = Tries()
    for host in ("169.254.169.254", "169.254.170.2", "169.254.170.23"):
        tries(host, connect, host, 80)
    return tries


def neighbours(event, context):
    """Another sandbox, which listens; by its address, by broadcast, and by IPv6."""
    tries = Tries()
    for host in event["neighbours"]:
        tries(host, connect, host, event["neighbour_port"])
        tries(f"{host} UDP", connect, host, event["neighbour_port"], socket.SOCK_DGRAM)
    tries("IPv6", call_everybody, socket.AF_INET6, "ff02::1", event["neighbour_port"])
    tries("broadcast", call_everybody, socket.AF_INET, "255.255.255.255", event["neighbour_port"])
    return tries


def call_everybody(family, address, port):
    with socket.socket(family, socket.SOCK_DGRAM) as caller:
        caller.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        caller.settimeout(SECONDS)
        caller.sendto(b"PING", (address, port))
        return caller.recv(64)


def internal_names(event, context):
    """Names that only the host and its containers know."""
    tries = Tries()
    for name in ("redis", "local", "executor", "host.docker.internal", "gateway.docker.internal",
                 "metadata.google.internal", *event["neighbour_names"]):  # fmt: skip
        tries(name, connect, name, event["neighbour_port"])
    return tries


def listen(event, context):
    """Waiting for others to call: who calls is told nothing, and the port is our own alone."""
    tries = Tries()
    with socket.create_server(("0.0.0.0", event["neighbour_port"] + 1)) as server:
        server.settimeout(SECONDS)
        tries("accept", lambda: str(server.accept()))
    return tries
