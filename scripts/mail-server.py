"""The server of scripts/mail-server; see there."""

import asyncio
import pathlib
import signal
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult

directory = pathlib.Path(sys.argv[1])
count = len(list(directory.glob("*.eml")))


def mode():
    try:
        return (directory / "mode").read_text().strip()
    except FileNotFoundError:
        return "ok"


def authenticate(server, session, envelope, mechanism, auth_data):
    is_right = (auth_data.login, auth_data.password) == (b"frost", b"dew")
    # Not handled here: the server itself says 535.
    return AuthResult(success=is_right, handled=False)


class Keeper:
    async def handle_RCPT(self, server, session, envelope, address, options):
        if mode() == "550":
            return f"550 5.1.1 <{address}>: no such user here"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        global count
        doing = mode()
        if doing == "451":
            return "451 4.3.0 try again later"
        count += 1
        (directory / f"{count}.to").write_text("\n".join(envelope.rcpt_tos))
        # Complete when it has its name.
        part = directory / f"{count}.part"
        part.write_bytes(envelope.content)
        part.rename(directory / f"{count}.eml")
        if doing == "slow":
            await asyncio.sleep(3)
        if doing == "drop":
            server.transport.abort()
        return f"250 2.0.0 kept as {count}"


async def main():
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(directory / "cert.pem", directory / "key.pem")
    options = dict(
        tls_context=context, require_starttls=True, auth_required=True, authenticator=authenticate, hostname="localhost"
    )
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(Keeper(), **options), "127.0.0.1", int(sys.argv[2]))
    print(server.sockets[0].getsockname()[1], flush=True)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await stop.wait()


asyncio.run(main())
