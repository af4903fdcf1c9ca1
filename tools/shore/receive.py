"""`seston receive`: takes messages from the gateway or a provider, keeps each once, decodes dives with them.

It speaks DirectIP, webhooks and calls without encryption, on this machine alone unless --host says otherwise:
what comes over the net should come through a tunnel or a web server in front of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

import click

from edge.errors import InputError
from tools.shore.decode import ABOUT, FLEET, ShoreFiles
from tools.shore.exports.about import read_about
from tools.shore.exports.positions import read_positions
from tools.shore.receiving.receiver import Receiver
from tools.shore.receiving.signature import WebhookKey
from tools.shore.receiving.store import Store

Listen = Callable[[str, int], Awaitable[int]]


@click.command()
@click.option(
    "--directip", type=click.IntRange(0, 65535), metavar="PORT", help="Listen for Iridium DirectIP; 0: any."
)
@click.option(
    "--webhook", type=click.IntRange(0, 65535), metavar="PORT",
    help="Listen for HTTP POSTs of RockBLOCK, Ground Control or Cloudloop; 0: any.",
)  # fmt: skip
@click.option(
    "--rudics", "calls", multiple=True, metavar="PORT[:IMEI]",
    help="Listen for data calls of one modem, given here or as the only --imei; 0: any port.",
)  # fmt: skip
@click.option(
    "--folder", type=click.Path(file_okay=False, path_type=Path), required=True,
    help="Where messages and dives are kept; codebook*.json belong here, *.sbd files into inbox/.",
)  # fmt: skip
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--imei", "imeis", multiple=True, help="A modem of ours; others are put aside. Default: all.")
@click.option(
    "--webhook-path", default="", metavar="/PATH", help="Answer POSTs to this path alone: a secret one."
)
@click.option(
    "--webhook-key", type=click.Path(dir_okay=False, path_type=Path),
    help="PEM file: take from the webhook only what this RSA key has signed (RockBLOCK's JWT).",
)  # fmt: skip
@FLEET
@click.option(
    "--positions", type=click.Path(dir_okay=False, path_type=Path),
    help="CSV with lat, lon and a sample or a time: where dives, or floats, were. It may grow.",
)  # fmt: skip
@ABOUT
def receive(
    directip: int | None,
    webhook: int | None,
    calls: tuple[str, ...],
    folder: Path,
    host: str,
    imeis: tuple[str, ...],
    webhook_path: str,
    webhook_key: Path | None,
    fleet: Path | None,
    positions: Path | None,
    about: Path | None,
) -> None:
    """Receive messages until stopped: keep each once, confirm it, decode its dive."""
    callers = [_caller(text, imeis) for text in calls]
    if webhook_key is not None and webhook is None:
        raise click.UsageError("--webhook-key verifies what comes by --webhook, which is not given")
    if positions is not None:
        read_positions(positions)
    if about is not None:
        read_about(about)
    key = None if webhook_key is None else WebhookKey(webhook_key)
    store = Store(folder, {*imeis, *(imei for _, imei in callers)} if imeis else ())
    receiver = Receiver(
        store,
        click.echo,
        webhook_path,
        None if key is None else key.claims,
        ShoreFiles(fleet, positions, about),
    )
    try:
        if webhook is not None and key is None:
            click.echo("webhook: who has sent a message is not verified; --webhook-key FILE does")
        asyncio.run(_receive(receiver, directip, webhook, callers, host))
    finally:
        store.close()
    click.echo(f"Stopped: {store.status()}.")


def _caller(text: str, imeis: tuple[str, ...]) -> tuple[int, str]:
    """Port and modem of an option `--rudics`."""
    port, _, imei = text.partition(":")
    if not imei and len(imeis) == 1:
        imei = imeis[0]
    if not (port.isascii() and port.isdigit() and len(port) <= 5 and int(port) <= 65535):
        raise click.UsageError(f"--rudics is {text}; PORT:IMEI is expected")
    if not (imei.isascii() and imei.isdigit() and len(imei) == 15):
        raise click.UsageError(
            f"--rudics is {text}; a call does not say whose it is: give PORT:IMEI, or one --imei"
        )
    return int(port), imei


async def _receive(
    receiver: Receiver,
    directip: int | None,
    webhook: int | None,
    callers: list[tuple[int, str]],
    host: str,
) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    wanted: list[tuple[str, int | None, Listen]] = [
        ("directip", directip, receiver.ports.listen_directip),
        ("webhook", webhook, receiver.ports.listen_webhook),
    ]
    wanted += [
        ("rudics", port, functools.partial(receiver.listen_calls, imei=imei)) for port, imei in callers
    ]
    for name, port, listen in wanted:
        if port is None:
            continue
        try:
            taken = await listen(host, port)
        except (OSError, UnicodeError) as cause:
            raise InputError(
                f"{host}:{port} cannot be listened on ({cause})",
                field=f"--{name}",
                remedy="choose another port or --host",
            ) from cause
        click.echo(f"{name} on {host}:{taken}")
    click.echo(f"files from {receiver.inbox}")
    with contextlib.suppress(asyncio.CancelledError):
        await receiver.run(stop)
