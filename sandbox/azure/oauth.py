"""Sign-in: tokens from a client secret or a federated assertion, and what clients ask to find the way.

Owns the signing key (`tls/oauth.key`, made on first use) and every path that needs no token. The tenant is
`adfs`, so that Microsoft's libraries ask this host alone. Never logs a secret, an assertion or a token.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import time
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from sandbox.azure import directory, federation
from sandbox.azure.behaviour import PLATFORM, Principal, Reply
from sandbox.azure.errors import ArmError
from sandbox.azure.store import Store
from sandbox.home import Home

LIFETIME = 3600
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_ARM_AUDIENCES = ("https://management.azure.com", "https://management.core.windows.net")


class _Refused(Exception):  # noqa: N818 - reads as what happened
    """A sign-in refused, in OAuth's words."""

    def __init__(self, status: int, error: str, description: str) -> None:
        super().__init__(description)
        self.status = status
        self.error = error


class Tokens:
    """Issues and checks bearer tokens.

    Args:
        home: the sandbox's folder, with the deployer's credentials and the key.
        store: where identities and their federated credentials lie.
    """

    def __init__(self, home: Home, store: Store) -> None:
        self._config = home.config
        self._home = home
        self._store = store
        self._url = home.azure_url
        self.issuer = f"{self._url}/adfs"
        self._key = _signing_key(home)
        public = self._key.public_key()
        encoded = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        self._key_id = hashlib.sha256(encoded).hexdigest()[:40]
        self._public = public

    def anonymous(self, method: str, path: str, query: Mapping[str, str], raw: bytes) -> Reply | None:
        """Answer a path that needs no token; None for all others."""
        match method, path.rstrip("/").lower():
            case "GET", "/adfs/.well-known/openid-configuration" | "/adfs/v2.0/.well-known/openid-configuration":
                return Reply(200, self._discovery())
            case "GET", "/adfs/discovery/keys" | "/adfs/discovery/v2.0/keys":
                return Reply(200, {"keys": [self._jwk()]})
            case "GET", "/metadata/endpoints":
                return Reply(200, self._endpoints(query.get("api-version", "")))
            case "POST", "/adfs/oauth2/v2.0/token" | "/adfs/oauth2/token":
                return self._token(dict(parse_qsl(raw.decode("utf-8", "replace"))))
            case _:
                return None

    def principal(self, header: str | None, audiences: Sequence[str] = ()) -> Principal:
        """Who sends this `Authorization` header.

        Args:
            audiences: whom the token must be for; left out: Resource Manager.

        Raises:
            ArmError: 401, nobody the sandbox knows.
        """
        audiences = audiences or (self._url, *_ARM_AUDIENCES)
        scheme, _, token = (header or "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise _unauthenticated(
                "AuthenticationFailed", "Authentication failed. The 'Authorization' header is missing."
            )
        if hmac.compare_digest(token.encode(), self._config.internal_token.encode()):
            return PLATFORM
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                self._public,
                algorithms=["RS256"],
                audience=[one + slash for one in audiences for slash in ("", "/")],
                issuer=self.issuer,
                options={"require": ["exp", "iss", "aud", "oid"]},
            )
        except jwt.ExpiredSignatureError as error:
            raise _unauthenticated(
                "ExpiredAuthenticationToken", "The access token expiry has passed: sign in again."
            ) from error
        except jwt.InvalidAudienceError as error:
            raise _unauthenticated(
                "InvalidAuthenticationTokenAudience",
                "The access token has been obtained for wrong audience or resource. It should be for "
                f"'{audiences[0]}'.",
            ) from error
        except jwt.InvalidTokenError as error:
            raise _unauthenticated("InvalidAuthenticationToken", f"The access token is invalid: {error}.") from error
        oid = str(claims["oid"])
        return Principal(oid, str(claims.get("appid", "")), directory.groups_of(self._store, oid))

    def _discovery(self) -> dict[str, Any]:
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/oauth2/authorize",
            "token_endpoint": f"{self.issuer}/oauth2/v2.0/token",
            "jwks_uri": f"{self.issuer}/discovery/keys",
            "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt"],
            "response_types_supported": ["token", "id_token"],
            "grant_types_supported": ["client_credentials"],
            "subject_types_supported": ["pairwise"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "scopes_supported": ["openid"],
            "claims_supported": ["aud", "iss", "oid", "appid", "tid", "sub", "groups", "exp"],
        }

    def _jwk(self) -> dict[str, Any]:
        numbers = self._public.public_numbers()
        return {
            "kty": "RSA",
            "use": "sig",
            "alg": "RS256",
            "kid": self._key_id,
            "n": _base64url(numbers.n),
            "e": _base64url(numbers.e),
        }

    def _endpoints(self, api_version: str) -> Any:
        """Where the cloud's parts are: an object up to 2018, a list of clouds from 2019-05-01 on."""
        authentication = {"audiences": [self._url, f"{self._url}/"], "loginEndpoint": self._url, "tenant": "adfs"}
        if api_version < "2019-05-01":
            return {
                "galleryEndpoint": self._url,
                "graphEndpoint": self._url,
                "portalEndpoint": self._url,
                "authentication": {**authentication, "loginEndpoint": f"{self._url}/adfs"},
            }
        return [
            {
                "name": "AzureStackCloud",
                "portal": self._url,
                "resourceManager": f"{self._url}/",
                "graph": self._url,
                "authentication": {**authentication, "identityProvider": "ADFS"},
                "suffixes": {"storage": "core.windows.net", "acrLoginServer": "azurecr.io"},
            }
        ]

    def _token(self, form: Mapping[str, str]) -> Reply:
        client_id = form.get("client_id", "")
        try:
            object_id = self._proven(client_id, form)
        except _Refused as refused:
            return Reply(refused.status, {"error": refused.error, "error_description": str(refused)})
        audience = form.get("resource") or form["scope"].split(" ")[0].removesuffix("/.default")
        return self._issued(audience, client_id, object_id)

    def _proven(self, client_id: str, form: Mapping[str, str]) -> str:
        """The object id of the application whose secret or assertion the form holds."""
        if form.get("grant_type") != "client_credentials":
            raise _Refused(
                400,
                "unsupported_grant_type",
                f"AADSTS70003: The app requested an unsupported grant type '{form.get('grant_type', '')}': the "
                "sandbox knows client_credentials.",
            )
        if not (form.get("resource") or form.get("scope")):
            raise _Refused(
                400, "invalid_request", "AADSTS900144: The request body must contain the parameter: 'scope'."
            )
        if "client_assertion" in form:
            if form.get("client_assertion_type") != ASSERTION_TYPE:
                raise _Refused(
                    400, "invalid_request", f"AADSTS50027: client_assertion_type must be '{ASSERTION_TYPE}'."
                )
            try:
                return federation.principal_of(self._home, self._store, client_id, form["client_assertion"])
            except federation.AssertionRefused as refused:
                raise _Refused(401, "invalid_client", str(refused)) from refused
        if client_id.lower() != self._config.client_id.lower():
            raise _Refused(
                400,
                "unauthorized_client",
                f"AADSTS700016: Application with identifier '{client_id}' was not found in the directory 'adfs'.",
            )
        if not hmac.compare_digest(form.get("client_secret", "").encode(), self._config.client_secret.encode()):
            raise _Refused(
                401,
                "invalid_client",
                f"AADSTS7000215: Invalid client secret provided for app '{client_id}': see `make env`.",
            )
        return self._config.object_id

    def _issued(self, audience: str, client_id: str, object_id: str) -> Reply:
        now = int(time.time())
        claims: dict[str, Any] = {
            "aud": audience,
            "iss": self.issuer,
            "iat": now,
            "nbf": now,
            "exp": now + LIFETIME,
            "appid": client_id,
            "idtyp": "app",
            "oid": object_id,
            "sub": object_id,
            "tid": self._config.tenant_id,
            "groups": list(directory.groups_of(self._store, object_id)),
            "ver": "1.0",
        }
        token = jwt.encode(claims, self._key, algorithm="RS256", headers={"kid": self._key_id})
        return Reply(
            200,
            {
                "token_type": "Bearer",
                "expires_in": LIFETIME,
                "ext_expires_in": LIFETIME,
                "expires_on": str(now + LIFETIME),
                "resource": audience,
                "access_token": token,
            },
            headers={"Cache-Control": "no-store"},
        )


def _base64url(number: int) -> str:
    """A number as JSON web keys write it."""
    raw = number.to_bytes((number.bit_length() + 7) // 8, "big")
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _signing_key(home: Home) -> rsa.RSAPrivateKey:
    """The sandbox's own key, made whole on first use and kept."""
    file = home.tls / "oauth.key"
    if not file.exists():
        home.tls.mkdir(parents=True, exist_ok=True)
        fresh = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        pem = fresh.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        partial = file.with_suffix(f".{os.getpid()}.partial")
        partial.touch(mode=0o600)
        partial.write_bytes(pem)
        partial.replace(file)
    key = serialization.load_pem_private_key(file.read_bytes(), None)
    if not isinstance(key, rsa.RSAPrivateKey):
        raise TypeError(f"{file} holds a {type(key).__name__}, not an RSA key: remove it and start again")
    return key


def _unauthenticated(code: str, message: str) -> ArmError:
    return ArmError(401, code, message, headers={"WWW-Authenticate": 'Bearer realm="sandbox"'})
