"""Where training data lies: who reads it, on which way, and whether it can be had back."""

from __future__ import annotations

from collections.abc import Iterator

from policy.model import Finding, Resource, Rule, Setting, Settings, StackCheck, UnverifiedError, each, required
from policy.stack import StackView

_ACCOUNT = "storage:StorageAccount"
_CONTAINER = "storage:BlobContainer"
_SHARE = "storage:FileShare"
_FILES = "storage:FileServiceProperties"
_BLOBS = "storage:BlobServiceProperties"


def _https(account: Resource, _settings: Settings) -> Iterator[str]:
    """NFS shares need plain transport, on a private network: premium file accounts and NFSv3 accounts may."""
    properties = account.properties
    if properties.flag("enableHttpsTrafficOnly") is False:
        nfs = properties.text("kind") == "FileStorage" or properties.flag("enableNfsV3") is True
        if not nfs or _reachable(account):
            yield (
                "enableHttpsTrafficOnly is false: data can be read on its way. Set it to true; only accounts for NFS, "
                "closed to public networks, need false."
            )


def _reachable(account: Resource) -> bool:
    """Whether public networks reach it."""
    if account.properties.text("publicNetworkAccess") == "Disabled":
        return False
    return account.properties.text("networkRuleSet.defaultAction") != "Deny"


def _firewall(account: Resource, _settings: Settings) -> Iterator[str]:
    if _reachable(account):
        yield (
            "publicNetworkAccess, networkRuleSet.defaultAction: the account is reached from every network. Set "
            "publicNetworkAccess to Disabled with private endpoints, or defaultAction to Deny."
        )


def _retention(service: str, holds: str, path: str, what: str) -> StackCheck:
    """A check of the services that say how long something is kept, and that what lies in an account has one.

    Args:
        service, holds: kinds of resources: the service, and what lies in it.
        path: the service's property.
    """

    def check(stack: StackView, settings: Settings) -> Iterator[Finding]:
        services = stack.of(service)
        remedy = f"enabled true and days {settings['days']} or more"

        def declared(one: Resource) -> Iterator[Finding]:
            policy = one.properties.section(path)
            days = policy.number("days") or 0
            if policy.flag("enabled") is not True or days < int(settings["days"]):
                yield Finding(
                    f"{path}: {what} cannot be had back for {settings['days']} days. Set {remedy}.",
                    one.urn,
                )

        def held(one: Resource) -> Iterator[Finding]:
            accounts = _account(one)
            if not accounts:
                raise UnverifiedError(f"{one.name}: its account is known only once the deployment runs")
            if not any(accounts & _account(other) for other in services):
                yield Finding(
                    f"{one.name}: nothing declares how long {what} of its account can be had back. Add a "
                    f"{service.partition(':')[2]} with {path}, {remedy}.",
                    one.urn,
                )

        return each([*services, *stack.of(holds)], lambda one: declared(one) if one.kind == service else held(one))

    return check


def _account(resource: Resource) -> set[str]:
    """What its account is known by: its name, and the resource that the name comes from."""
    name = resource.properties.known("accountName")
    return {*resource.depends.get("accountName", ()), *([str(name).lower()] if name else [])}


_DAYS = Setting(
    "days", {"type": "integer", "minimum": 1, "maximum": 365, "default": 7, "description": "Days at least."}
)

RULES = (
    Rule(
        name="storage-secure-transfer",
        title="Storage is read over encrypted connections, NFS on private networks aside.",
        why="Data sets and checkpoints would cross the network in the clear.",
        fix="Set enableHttpsTrafficOnly to true.",
        severity="high",
        kinds=(_ACCOUNT,),
        follows=("Azure.Storage.SecureTransfer", "CKV_AZURE_3"),
        check=_https,
    ),
    Rule(
        name="storage-tls",
        title="Storage refuses TLS older than 1.2.",
        why="Older versions can be broken by whoever is in between.",
        fix="Set minimumTlsVersion to TLS1_2 or TLS1_3.",
        severity="high",
        kinds=(_ACCOUNT,),
        follows=("Azure.Storage.MinTLS", "CKV_AZURE_44"),
        check=required(
            "minimumTlsVersion",
            lambda value: value in {"TLS1_2", "TLS1_3"},
            "older TLS is accepted: set TLS1_2",
            absent="TLS1_0",
        ),
    ),
    Rule(
        name="storage-no-public-blobs",
        title="No blob can be made public.",
        why="One wrong container setting publishes a data set.",
        fix="Set allowBlobPublicAccess to false.",
        severity="critical",
        kinds=(_ACCOUNT,),
        follows=("Azure.Storage.BlobPublicAccess", "CKV_AZURE_190", "CKV2_AZURE_47"),
        check=required(
            "allowBlobPublicAccess", lambda value: value is not True, "containers can be made public: set it to false"
        ),
    ),
    Rule(
        name="storage-private-containers",
        title="No container is public.",
        why="Everybody who knows or guesses the name reads it.",
        fix="Set publicAccess to None.",
        severity="critical",
        kinds=(_CONTAINER,),
        follows=("Azure.Storage.BlobAccessType", "CKV_AZURE_34"),
        check=required(
            "publicAccess", lambda value: value == "None", "the container is public: set None", absent="None"
        ),
    ),
    Rule(
        name="storage-firewall",
        title="Storage is not reached from every network.",
        why="A leaked key or token then works from anywhere.",
        fix="Set publicNetworkAccess to Disabled with private endpoints, or networkRuleSet.defaultAction to Deny.",
        severity="high",
        kinds=(_ACCOUNT,),
        follows=(
            "Azure.Storage.Firewall",
            "CKV_AZURE_35",
            "CKV_AZURE_59",
            "APRL dc55be60-6f8c-461e-a9d5-a3c7686ed94e",
        ),
        check=_firewall,
    ),
    Rule(
        name="storage-no-shared-keys",
        title="Storage takes no shared keys.",
        why="A key is all rights on all data without a name, and does not expire.",
        fix="Set allowSharedKeyAccess to false; mount with identities (SMB from Kubernetes 1.34).",
        severity="medium",
        level="advisory",
        kinds=(_ACCOUNT,),
        follows=("CKV2_AZURE_40",),
        check=required(
            "allowSharedKeyAccess", lambda value: value is False, "shared keys are taken: set it to false", absent=True
        ),
    ),
    Rule(
        name="storage-shares-kept",
        title="A deleted share can be had back.",
        why="A wrong `pulumi up` or click ends months of checkpoints.",
        fix="Enable shareDeleteRetentionPolicy on the file service.",
        severity="medium",
        follows=("Azure.Storage.FileShareSoftDelete", "APRL 03263c57-c869-3841-9e0a-3dbb9ef3e28d"),
        settings=(_DAYS,),
        check=_retention(_FILES, _SHARE, "shareDeleteRetentionPolicy", "a deleted share"),
    ),
    Rule(
        name="storage-containers-kept",
        title="A deleted container can be had back.",
        why="A wrong `pulumi up` or click ends a data set.",
        fix="Enable containerDeleteRetentionPolicy on the blob service.",
        severity="medium",
        level="advisory",
        follows=("Azure.Storage.ContainerSoftDelete", "CKV2_AZURE_38", "APRL 03263c57-c869-3841-9e0a-3dbb9ef3e28d"),
        settings=(_DAYS,),
        check=_retention(_BLOBS, _CONTAINER, "containerDeleteRetentionPolicy", "a deleted container"),
    ),
)
