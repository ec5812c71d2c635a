"""Storage accounts, shares and containers, over real HTTPS."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.azure.storage_accounts import StorageAccounts
from tests.sandbox.azure.conftest import Azure


def account(
    azure: Azure, name: str = "trainyardtest", kind: str = "StorageV2", sku: str = "Standard_LRS", **properties: Any
) -> str:
    path = f"{azure.group}/providers/Microsoft.Storage/storageAccounts/{name}"
    azure.make(path, {"location": "westeurope", "kind": kind, "sku": {"name": sku}, "properties": properties})
    return path


def share(azure: Azure, parent: str, name: str = "data", **properties: Any) -> Any:
    return azure.put(f"{parent}/fileServices/default/shares/{name}", {"properties": properties})


def test_a_new_account_is_being_made_for_a_while_and_then_has_services_and_keys(
    azure: Azure, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(StorageAccounts, "creates", 2)
    path = f"{azure.group}/providers/Microsoft.Storage/storageAccounts/trainyardtest"
    body = {"location": "westeurope", "kind": "StorageV2", "sku": {"name": "Standard_LRS"}}
    answer = azure.put(path, body)
    assert answer.status_code == 202
    assert "Location" in answer.headers
    early = azure.put(f"{path}/fileServices/default/shares/data", {"properties": {"shareQuota": 10}})
    azure.refused(early, 409, "StorageAccountIsNotProvisioned")
    azure.wait(answer)
    assert (
        azure.get(path).json()["properties"]["primaryEndpoints"]["file"]
        == "https://trainyardtest.file.core.windows.net/"
    )
    assert azure.get(f"{path}/fileServices/default").status_code == 200
    first, second = azure.call("POST", f"{path}/listKeys").json()["keys"]
    assert first["value"] != second["value"]
    assert "value" not in str(azure.get(path).json()), "a key must never lie in the account's document"


@pytest.mark.parametrize("name", ["ab", "Trainyard", "with-hyphen", "a" * 25])
def test_a_bad_account_name_is_refused(azure: Azure, name: str) -> None:
    path = f"{azure.group}/providers/Microsoft.Storage/storageAccounts/{name}"
    body = {"location": "westeurope", "kind": "StorageV2", "sku": {"name": "Standard_LRS"}}
    azure.refused(azure.put(path, body), 400, "AccountNameInvalid")


def test_an_account_name_is_taken_everywhere(azure: Azure) -> None:
    account(azure)
    azure.make(f"{azure.subscription}/resourceGroups/other", {"location": "westeurope"})
    path = f"{azure.subscription}/resourceGroups/other/providers/Microsoft.Storage/storageAccounts/trainyardtest"
    body = {"location": "westeurope", "kind": "StorageV2", "sku": {"name": "Standard_LRS"}}
    azure.refused(azure.put(path, body), 409, "StorageAccountInAnotherResourceGroup")


@pytest.mark.parametrize(("kind", "sku"), [("FileStorage", "Standard_LRS"), ("BlockBlobStorage", "Standard_ZRS")])
def test_a_kind_has_its_own_skus(azure: Azure, kind: str, sku: str) -> None:
    path = f"{azure.group}/providers/Microsoft.Storage/storageAccounts/trainyardtest"
    body = {"location": "westeurope", "kind": kind, "sku": {"name": sku}}
    azure.refused(azure.put(path, body), 400, "InvalidRequestPropertyValue")


def test_an_unknown_sku_is_refused_with_the_known_ones(azure: Azure) -> None:
    path = f"{azure.group}/providers/Microsoft.Storage/storageAccounts/trainyardtest"
    body = {"location": "westeurope", "kind": "StorageV2", "sku": {"name": "Standard_XRS"}}
    assert "Standard_LRS" in azure.refused(azure.put(path, body), 400, "InvalidRequestContent")


def test_nfs_needs_an_ssd_account_without_https_only(azure: Azure) -> None:
    standard = account(azure)
    azure.refused(share(azure, standard, enabledProtocols="NFS", shareQuota=100), 409, "FeatureNotSupportedForAccount")
    secure = account(azure, "securefiles", "FileStorage", "Premium_LRS")
    azure.refused(share(azure, secure, enabledProtocols="NFS", shareQuota=100), 409, "FeatureNotSupportedForAccount")
    fast = account(azure, "fastfiles", "FileStorage", "Premium_LRS", supportsHttpsTrafficOnly=False)
    assert share(azure, fast, enabledProtocols="NFS", shareQuota=100).status_code == 201


def test_a_premium_share_has_at_least_100_gib_and_a_standard_one_at_most_5120_without_large_shares(
    azure: Azure,
) -> None:
    premium = account(azure, "fastfiles", "FileStorage", "Premium_LRS")
    azure.refused(share(azure, premium, shareQuota=99), 400, "InvalidRequestPropertyValue")
    assert share(azure, premium, shareQuota=100).status_code == 201
    small = account(azure, "smallfiles")
    assert "largeFileSharesState" in azure.refused(
        share(azure, small, shareQuota=5121), 400, "InvalidRequestPropertyValue"
    )
    large = account(azure, "largefiles", largeFileSharesState="Enabled")
    assert share(azure, large, shareQuota=5121).status_code == 201


def test_a_hierarchical_namespace_cannot_be_switched_on_later(azure: Azure) -> None:
    path = account(azure)
    body = {
        "location": "westeurope",
        "kind": "StorageV2",
        "sku": {"name": "Standard_LRS"},
        "properties": {"isHnsEnabled": True},
    }
    azure.refused(azure.put(path, body), 400, "AccountPropertyCannotBeUpdated")


def test_what_a_put_of_an_account_leaves_out_stays(azure: Azure) -> None:
    path = account(azure, allowSharedKeyAccess=False)
    account(azure, minimumTlsVersion="TLS1_2")
    assert azure.get(path).json()["properties"]["allowSharedKeyAccess"] is False


def test_a_private_endpoint_brings_an_address_a_connection_and_a_record(azure: Azure) -> None:
    store = account(azure)
    base = f"{azure.group}/providers/Microsoft.Network"
    network = f"{base}/virtualNetworks/net"
    azure.make(
        network,
        {
            "location": "westeurope",
            "properties": {
                "addressSpace": {"addressPrefixes": ["10.0.0.0/16"]},
                "subnets": [{"name": "endpoints", "properties": {"addressPrefix": "10.0.255.0/24"}}],
            },
        },
    )
    zone = f"{base}/privateDnsZones/privatelink.file.core.windows.net"
    azure.make(zone, {"location": "global"})
    azure.make(
        f"{zone}/virtualNetworkLinks/net", {"location": "global", "properties": {"virtualNetwork": {"id": network}}}
    )
    endpoint = f"{base}/privateEndpoints/files"
    body: dict[str, Any] = {
        "location": "westeurope",
        "properties": {
            "subnet": {"id": f"{network}/subnets/endpoints"},
            "privateLinkServiceConnections": [
                {"name": "files", "properties": {"privateLinkServiceId": store, "groupIds": ["nothing"]}}
            ],
        },
    }
    azure.refused(azure.put(endpoint, body), 400, "PrivateEndpointInvalidGroupId")
    body["properties"]["privateLinkServiceConnections"][0]["properties"]["groupIds"] = ["file"]
    made = azure.make(endpoint, body)
    interface = azure.get(made["properties"]["networkInterfaces"][0]["id"]).json()
    address = interface["properties"]["ipConfigurations"][0]["properties"]["privateIPAddress"]
    assert address == "10.0.255.4"
    assert made["properties"]["customDnsConfigs"] == [
        {"fqdn": "trainyardtest.file.core.windows.net", "ipAddresses": [address]}
    ]
    configs = [{"name": "file", "properties": {"privateDnsZoneId": zone}}]
    azure.make(f"{endpoint}/privateDnsZoneGroups/default", {"properties": {"privateDnsZoneConfigs": configs}})
    record = azure.get(f"{zone}/A/trainyardtest").json()
    assert record["properties"]["aRecords"] == [{"ipv4Address": address}]
    assert len(azure.get(store).json()["properties"]["privateEndpointConnections"]) == 1
    azure.refused(azure.call("DELETE", f"{network}/subnets/endpoints"), 400, "InUseSubnetCannotBeDeleted")
    azure.refused(azure.call("DELETE", zone), 409, "CannotDeleteResource")
    azure.remove(endpoint)
    assert azure.get(f"{zone}/A/trainyardtest").status_code == 404
    assert azure.get(store).json()["properties"]["privateEndpointConnections"] == []
    azure.remove(f"{network}/subnets/endpoints")


def test_a_container_is_public_only_where_the_account_allows_it(azure: Azure) -> None:
    path = account(azure)
    container = f"{path}/blobServices/default/containers/raw"
    azure.refused(azure.put(container, {"properties": {"publicAccess": "Blob"}}), 409, "PublicAccessNotPermitted")
    assert azure.make(container, {"properties": {}})["properties"]["publicAccess"] == "None"


NFS_ON_BLOBS: dict[str, Any] = {
    "isHnsEnabled": True,
    "isNfsV3Enabled": True,
    "supportsHttpsTrafficOnly": True,
    "networkAcls": {"defaultAction": "Deny"},
}


def refused_account(azure: Azure, code: str, kind: str = "StorageV2", **properties: Any) -> str:
    path = f"{azure.group}/providers/Microsoft.Storage/storageAccounts/trainyardtest"
    body = {"location": "westeurope", "kind": kind, "sku": {"name": "Standard_LRS"}, "properties": properties}
    return azure.refused(azure.put(path, body), 400, code)


def test_nfs_on_blobs_needs_a_hierarchy_and_a_closed_network(azure: Azure) -> None:
    flat: Any = {**NFS_ON_BLOBS, "isHnsEnabled": False}
    assert "hierarchical" in refused_account(azure, "InvalidRequestPropertyValue", **flat)
    open_to_all: Any = {key: value for key, value in NFS_ON_BLOBS.items() if key != "networkAcls"}
    refused_account(azure, "NetworkAclsDefaultActionMisconfigured", **open_to_all)
    path = account(azure, **NFS_ON_BLOBS)
    assert azure.get(path).json()["properties"]["isNfsV3Enabled"] is True
    opened = azure.call("PATCH", path, {"properties": {"networkAcls": {"defaultAction": "Allow"}}})
    azure.refused(opened, 400, "NetworkAclsDefaultActionMisconfigured")


@pytest.mark.parametrize("feature", ["isHnsEnabled", "isNfsV3Enabled"])
def test_what_azure_takes_at_creation_only_is_refused_later_either_way(azure: Azure, feature: str) -> None:
    path = account(azure, **NFS_ON_BLOBS)
    without = {**NFS_ON_BLOBS, "isNfsV3Enabled": False, feature: False}
    body = {"location": "westeurope", "kind": "StorageV2", "sku": {"name": "Standard_LRS"}, "properties": without}
    azure.refused(azure.put(path, body), 400, "AccountPropertyCannotBeUpdated")
    body["properties"] = {"supportsHttpsTrafficOnly": False}
    assert azure.put(path, body).status_code == 200, "left out they stay as they are"
    assert azure.get(path).json()["properties"][feature] is True


def test_a_subnet_is_let_in_only_with_a_service_endpoint(azure: Azure) -> None:
    network = f"{azure.group}/providers/Microsoft.Network/virtualNetworks/net"
    subnet: dict[str, Any] = {"name": "nodes", "properties": {"addressPrefix": "10.0.0.0/24"}}
    body = {
        "location": "westeurope",
        "properties": {"addressSpace": {"addressPrefixes": ["10.0.0.0/16"]}, "subnets": [subnet]},
    }
    azure.make(network, body)
    rules = {"defaultAction": "Deny", "virtualNetworkRules": [{"id": f"{network}/subnets/nodes"}]}
    assert "SubnetsHaveNoServiceEndpointsConfigured" in refused_account(
        azure, "NetworkAclsValidationFailure", networkAcls=rules
    )
    subnet["properties"]["serviceEndpoints"] = [{"service": "Microsoft.Storage"}]
    azure.make(network, body)
    account(azure, networkAcls=rules)


def test_versions_of_blobs_do_not_go_with_a_hierarchy(azure: Azure) -> None:
    tree, flat = account(azure, "treeaccount", isHnsEnabled=True), account(azure, "flataccount")
    body = {"properties": {"isVersioningEnabled": True}}
    refusal = azure.put(f"{tree}/blobServices/default", body)
    azure.refused(refusal, 409, "FeatureNotSupportedForAccount")
    assert azure.put(f"{flat}/blobServices/default", body).status_code == 200


@pytest.mark.parametrize("name", ["ab", "Upper", "double--hyphen", "-first", "last-", "dot.ted", "x" * 64])
def test_a_container_has_a_name_that_dns_takes(azure: Azure, name: str) -> None:
    path = account(azure)
    answer = azure.put(f"{path}/blobServices/default/containers/{name}", {})
    azure.refused(answer, 400, "InvalidResourceName")


def test_a_container_is_deleted_and_its_services_are_not(azure: Azure) -> None:
    path = account(azure)
    container = f"{path}/blobServices/default/containers/raw"
    azure.make(container, {})
    squash = azure.put(f"{path}/blobServices/default/containers/n", {"properties": {"enableNfsV3RootSquash": True}})
    azure.refused(squash, 400, "InvalidResourceName")
    squash = azure.put(f"{path}/blobServices/default/containers/nfs", {"properties": {"enableNfsV3RootSquash": True}})
    azure.refused(squash, 400, "InvalidRequestPropertyValue")
    azure.remove(container)
    assert azure.get(container).status_code == 404
    azure.refused(azure.call("DELETE", f"{path}/blobServices/default"), 405, "HttpMethodNotAllowed")


def test_a_share_account_has_no_blob_endpoint(azure: Azure) -> None:
    store = account(azure, "fastfiles", "FileStorage", "Premium_LRS")
    network = f"{azure.group}/providers/Microsoft.Network/virtualNetworks/net"
    subnets = [{"name": "endpoints", "properties": {"addressPrefix": "10.0.255.0/24"}}]
    azure.make(
        network,
        {
            "location": "westeurope",
            "properties": {"addressSpace": {"addressPrefixes": ["10.0.0.0/16"]}, "subnets": subnets},
        },
    )
    connection = {"name": "x", "properties": {"privateLinkServiceId": store, "groupIds": ["blob"]}}
    body = {
        "location": "westeurope",
        "properties": {"subnet": {"id": f"{network}/subnets/endpoints"}, "privateLinkServiceConnections": [connection]},
    }
    endpoint = f"{azure.group}/providers/Microsoft.Network/privateEndpoints/blobs"
    azure.refused(azure.put(endpoint, body), 400, "PrivateEndpointInvalidGroupId")


def test_only_provisioned_v2_shares_take_iops_and_throughput(azure: Azure) -> None:
    first = account(azure, "fastfiles", "FileStorage", "Premium_LRS")
    assert "PremiumV2_" in azure.refused(
        share(azure, first, shareQuota=100, provisionedIops=5000), 400, "InvalidRequestPropertyValue"
    )
    second = account(azure, "fastfiles2", "FileStorage", "PremiumV2_LRS")
    faults: list[Any] = [{"provisionedIops": 2999}, {"provisionedIops": 102401}, {"provisionedBandwidthMibps": 99}]
    for wrong in faults:
        azure.refused(share(azure, second, shareQuota=1024, **wrong), 400, "InvalidRequestPropertyValue")
    made = share(azure, second, shareQuota=1024).json()["properties"]
    assert (made["provisionedIops"], made["provisionedBandwidthMibps"]) == (4024, 202), "as Azure recommends"
    slow = account(azure, "slowfiles", "FileStorage", "StandardV2_LRS")
    made = share(azure, slow, shareQuota=1000).json()["properties"]
    assert (made["provisionedIops"], made["provisionedBandwidthMibps"]) == (1200, 80)


def test_what_was_raised_is_not_lowered_for_a_day(azure: Azure) -> None:
    store = account(azure, "fastfiles2", "FileStorage", "PremiumV2_LRS")
    share(azure, store, shareQuota=1024, provisionedIops=5000)
    assert share(azure, store, shareQuota=1024, provisionedIops=4000).status_code == 200, "never raised"
    raised = share(azure, store, shareQuota=1024, provisionedIops=9000).json()["properties"]
    assert "nextAllowedProvisionedIopsDowngradeTime" in raised
    lowered = share(azure, store, shareQuota=1024, provisionedIops=8000)
    assert "24 hours" in azure.refused(lowered, 400, "InvalidRequestPropertyValue")
