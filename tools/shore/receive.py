"""`seston receive`: takes messages from the gateway or a provider, keeps each once, decodes dives with them.

It speaks DirectIP and webhooks without encryption, on this machine alone unless --host says otherwise: what
comes over the net should come through a tunnel or a web server in front of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from pathlib import Path

import click

from edge.errors import InputError
from tools.shore.receiving.receiver import INBOX, Receiver
from tools.shore.receiving.store import Store


@click.command()
@click.option(
    "--directip", type=click.IntRange(0, 65535), metavar="PORT", help="Listen for Iridium DirectIP; 0: any."
)
@click.option(
    "--webhook", type=click.IntRange(0, 65535), metavar="PORT",
    help="Listen for HTTP POSTs of RockBLOCK, Ground Control or Cloudloop; 0: any.",
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
def receive(
    directip: int | None,
    webhook: int | None,
    folder: Path,
    host: str,
    imeis: tuple[str, ...],
    webhook_path: str,
) -> None:
    """Receive messages until stopped: keep each once, confirm it, decode its dive."""
    store = Store(folder, imeis)
    try:
        asyncio.run(_receive(store, directip, webhook, host, webhook_path))
    finally:
        store.close()
    click.echo(f"Stopped: {store.status()}.")


async def _receive(
    store: Store, directip: int | None, webhook: int | None, host: str, webhook_path: str
) -> None:
    receiver = Receiver(store, click.echo, webhook_path)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    for name, port, listen in (
        ("directip", directip, receiver.ports.listen_directip),
        ("webhook", webhook, receiver.ports.listen_webhook),
    ):
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
    click.echo(f"files from {store.folder / INBOX}")
    with contextlib.suppress(asyncio.CancelledError):
        await receiver.run(stop)
