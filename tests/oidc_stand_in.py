"""An identity provider on loopback: whoever is sent there is signed in at once, as the person set in `email`."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import RSAKey

CLIENT_ID, CLIENT_SECRET = "dashboard", "Geheim-des-Klienten"


@dataclass
class IdentityProvider:
    """`email` is who signs in next, `verified` whether the provider vouches for the address; None: it says nothing."""

    url: str = ""
    email: str = ""
    verified: bool | None = True
    key: RSAKey = field(default_factory=lambda: RSAKey.generate_key(2048, {"kid": "one", "use": "sig"}))
    nonces: dict[str, str] = field(default_factory=dict)

    def answer(self, path: str, asked: dict[str, str]) -> dict[str, Any] | str:
        """JSON, or the address to be sent to."""
        match path:
            case "/.well-known/openid-configuration":
                return {
                    "issuer": self.url,
                    "authorization_endpoint": f"{self.url}/authorize",
                    "token_endpoint": f"{self.url}/token",
                    "jwks_uri": f"{self.url}/keys",
                    "id_token_signing_alg_values_supported": ["RS256"],
                }
            case "/keys":
                return {"keys": [self.key.as_dict(private=False)]}
            case "/authorize":
                self.nonces["code"] = asked.get("nonce", "")
                return f"{asked['redirect_uri']}?{urlencode({'code': 'code', 'state': asked['state']})}"
            case "/token":
                return {"access_token": "a", "token_type": "Bearer", "expires_in": 600, "id_token": self._token()}
            case _:
                return {}

    def _token(self) -> str:
        now = int(time.time())
        claims = {"iss": self.url, "aud": CLIENT_ID, "sub": self.email, "iat": now, "exp": now + 600}
        claims |= {"nonce": self.nonces["code"], "email": self.email}
        claims |= {} if self.verified is None else {"email_verified": self.verified}
        return jwt.encode({"alg": "RS256", "kid": "one"}, claims, self.key)


@contextmanager
def identity_provider() -> Iterator[IdentityProvider]:
    """One that listens on a port of its own."""
    provider = IdentityProvider()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(urlsplit(self.path).query)

        def do_POST(self) -> None:
            self._answer(self.rfile.read(int(self.headers["Content-Length"])).decode())

        def log_message(self, format: str, *args: object) -> None:
            """Not on the test's stderr."""

        def _answer(self, query: str) -> None:
            asked = {name: values[0] for name, values in parse_qs(query).items()}
            answer = provider.answer(urlsplit(self.path).path, asked)
            self.send_response(302 if isinstance(answer, str) else 200)
            if isinstance(answer, str):
                self.send_header("Location", answer)
                self.end_headers()
                return
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        provider.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield provider
        server.shutdown()
        thread.join()
