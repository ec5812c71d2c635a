"""Whom an account lets in: networks first, then whoever signs the request, then roles. The order is the service's own.

Codes and messages: learn.microsoft.com `rest/api/storageservices/blob-service-error-codes` and
`common-rest-api-error-codes`.
"""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Mapping
from typing import cast

from sandbox.azure.authorization import Authorization
from sandbox.azure.context import Body, Principal, section
from sandbox.azure.errors import ArmError
from sandbox.azure.ids import same_id
from sandbox.azure.network_types import NAT_GATEWAYS, PUBLIC_ADDRESSES, SUBNETS
from sandbox.azure.oauth import Tokens
from sandbox.azure.storage_rules import has_service_endpoint
from sandbox.azure.store import Resource, Store
from sandbox.storage_network.accounts import Accounts, container_id
from sandbox.storage_network.errors import StorageError, not_emulated
from sandbox.storage_network.requests import BLOBS, BlobRequest
from sandbox.storage_network.resolving import Origin, is_open
from sandbox.storage_network.shared_key import signature

AUDIENCE = "https://storage.azure.com"
OUTSIDE_ADDRESS = "203.0.113.7"
"""The address that callers from outside seem to have: one of those kept for documentation (RFC 5737)."""


def check_network(store: Store, account: Resource, origin: Origin) -> None:
    """Refuse a connection from where the account takes none.

    Raises:
        StorageError: 403 `AuthorizationFailure`.
    """
    if origin.endpoint is not None and is_open(store, origin.endpoint, account):
        return
    properties = account.properties
    rules = section(properties, "networkAcls")
    public = origin.endpoint is None and properties.get("publicNetworkAccess", "Enabled") == "Enabled"
    if not public or (rules.get("defaultAction") == "Deny" and not _let_in(store, rules, origin)):
        raise StorageError(403, "AuthorizationFailure", "This request is not authorized to perform this operation.")


def _let_in(store: Store, rules: Body, origin: Origin) -> bool:
    if origin.network is None:
        return _matches(rules, [OUTSIDE_ADDRESS])
    subnets = store.of_type(SUBNETS, origin.network)
    with_endpoint = [one for one in subnets if has_service_endpoint(one)]
    for rule in cast(list[Body], rules.get("virtualNetworkRules") or []):
        if any(same_id(str(rule.get("id")), one.id) for one in with_endpoint):
            return True
    return not with_endpoint and _matches(rules, _public_addresses(store, subnets))


def _matches(rules: Body, addresses: list[str]) -> bool:
    ranges = [
        ipaddress.ip_network(str(one["value"]), strict=False) for one in cast(list[Body], rules.get("ipRules") or [])
    ]
    return any(ipaddress.ip_address(one) in inside for one in addresses for inside in ranges)


def _public_addresses(store: Store, subnets: list[Resource]) -> list[str]:
    """The addresses that a network's NAT gateways call out from."""
    found: list[str] = []
    for subnet in subnets:
        gateway = store.get(str(section(subnet.properties, "natGateway").get("id")))
        if gateway is None or gateway.type != NAT_GATEWAYS:
            continue
        for one in cast(list[Body], gateway.properties.get("publicIpAddresses") or []):
            address = store.get(str(one["id"]))
            if address is not None and address.type == PUBLIC_ADDRESSES:
                found.append(str(address.properties["ipAddress"]))
    return found


class Gate:
    """Signatures, tokens and roles.

    Args:
        accounts: with their keys.
        tokens: knows whom a token is for.
        authorization: knows who may do what.
    """

    def __init__(self, accounts: Accounts, tokens: Tokens, authorization: Authorization) -> None:
        self._accounts = accounts
        self._tokens = tokens
        self._authorization = authorization

    def check(self, request: BlobRequest, headers: Mapping[str, str], account: Resource) -> None:
        """Refuse a request that is not signed, or whose signer may not do it.

        Raises:
            StorageError: 401 or 403.
        """
        given = headers.get("Authorization", "")
        scheme = given.partition(" ")[0].lower()
        if scheme == "bearer":
            self.check_role(request, self._caller(given, account), account)
        elif scheme == "sharedkey":
            self._check_key(request, headers, account, given)
        elif "sig" in request.query:
            self._check_keys_allowed(account)
            raise not_emulated("shared access signatures: sign in with a token, or with the account's key")
        elif given:
            raise _unauthentic(f"The authorization scheme '{scheme}' is not supported.")
        elif not self._is_public(request, account):
            raise self._challenge(
                401,
                "NoAuthenticationInformation",
                "Server failed to authenticate the request. Please refer to the information in the www-authenticate "
                "header.",
            )

    def check_role(self, request: BlobRequest, caller: Principal, account: Resource) -> None:
        """Refuse a caller that lacks the role, or has it only since a moment."""
        action = request.action()
        scope = account.id if request.container is None else container_id(account, request.container)
        principals = (caller.object_id, *caller.groups)
        if not self._authorization.allows(principals, action.name, scope, data_action=action.on_data):
            raise StorageError(
                403,
                "AuthorizationPermissionMismatch",
                "This request is not authorized to perform this operation using this permission.",
            )

    def _caller(self, given: str, account: Resource) -> Principal:
        audiences = (AUDIENCE, f"https://{account.name}.blob.core.windows.net")
        try:
            return self._tokens.principal(given, audiences)
        except ArmError as error:
            raise self._challenge(401, "InvalidAuthenticationInfo", error.message) from error

    def _check_key(self, request: BlobRequest, headers: Mapping[str, str], account: Resource, given: str) -> None:
        self._check_keys_allowed(account)
        name, _, proof = given.partition(" ")[2].strip().partition(":")
        expected = [
            signature(key, request.method, headers, account.name, request.target)
            for key in self._accounts.keys(account)
        ]
        if name != account.name or not any(hmac.compare_digest(proof.encode(), one.encode()) for one in expected):
            raise _unauthentic("The MAC signature found in the HTTP request is not the same as any computed signature.")
        request.action()

    def _check_keys_allowed(self, account: Resource) -> None:
        if account.properties.get("allowSharedKeyAccess") is False:
            raise StorageError(
                403,
                "KeyBasedAuthenticationNotPermitted",
                "Key based authentication is not permitted on this storage account.",
            )

    def _is_public(self, request: BlobRequest, account: Resource) -> bool:
        """Whether anybody may read this: the account and the container must both say so."""
        container = self._accounts.container(account, request.container) if request.container else None
        if container is None or not account.properties.get("allowBlobPublicAccess"):
            return False
        level = container.properties.get("publicAccess")
        listing = request.blob is None and request.query.get("comp") == "list"
        return request.action().name == f"{BLOBS}/read" and (level == "Container" or (level == "Blob" and not listing))

    def _challenge(self, status: int, code: str, message: str) -> StorageError:
        where = f"Bearer authorization_uri={self._tokens.issuer}/oauth2/authorize resource_id={AUDIENCE}"
        return StorageError(status, code, message, {"WWW-Authenticate": where})


def _unauthentic(detail: str) -> StorageError:
    return StorageError(
        403,
        "AuthenticationFailed",
        "Server failed to authenticate the request. Make sure the value of Authorization header is formed correctly "
        f"including the signature. {detail}",
    )
