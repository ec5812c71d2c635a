"""Kueue and the queues that training jobs wait in, one pair a pool class.

Owns Kueue's release, its flavours, queues and the admission check for gangs, and the namespaces that have queues. Does
not own the autoscaler's part, which is a flag and the definition of ProvisioningRequest (`provisioning_requests.py`).

A job names a queue by the label `kueue.x-k8s.io/queue-name`, and nothing else: Kueue gives its pods the node labels and
tolerations of the class. Queue `<class>` lets a job in as soon as its quota is free; machines then come one by one.
Queue `<class>-gang` asks the autoscaler for all machines of a job at once, by a ProvisioningRequest, and starts the job
when they were granted. Both draw on one quota through a cohort: all that the class's pools can be at their maxima.

Nothing is preempted: a running job is never stopped for a waiting one. What does not fit waits without holding quota
and without keeping others from starting (BestEffortFIFO).

Order: queues go before flavours, flavours before the release, as Kueue itself takes off the finalizers it put on. Where
the cluster goes, none of it is taken away first: jobs that run or wait would keep it.

Sources: sigs.k8s.io/kueue v0.16.1 `apis/kueue/v1beta2`, `charts/kueue`; read 2026-11-23.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pulumi
import pulumi_kubernetes as kubernetes
import yaml
from pulumi_kubernetes.apiextensions import CustomResource
from pulumi_kubernetes.core import v1 as core
from pulumi_kubernetes.meta import v1 as meta

from capacity.pools import PoolPlan
from capacity.queue_plan import QueuePlan, plan_queues
from stacks.workload_settings import Queues as Settings

NAMESPACE = "kueue-system"
CHART, VERSION, REPOSITORY = "kueue", "0.16.1", "oci://registry.k8s.io/kueue/charts"
API = "kueue.x-k8s.io/v1beta2"
CHECK = "all-machines-or-none"
PROVISIONING_CLASS = "best-effort-atomic-scale-up.autoscaling.x-k8s.io"
GANG = "-gang"
"""What the name of a class's queue for gangs ends with."""
_BACKOFF_SECONDS = 60
_NEVER_GIVE_UP = 2**31 - 1
_LABELS = {"app.kubernetes.io/part-of": "trainyard"}


class Queues(pulumi.ComponentResource):
    """Kueue with a queue and a gang queue a pool class.

    Args:
        settings: which namespaces have queues.
        pools: key to plan; the queues' quota.
        provider: the cluster.
        cluster: the cluster as a resource, with which all of this goes.
        needs: what must be there first: the definition of ProvisioningRequest.
    """

    names: list[str]
    """The queues' names, the same in each namespace."""
    namespaces: dict[str, pulumi.Resource]
    """The namespaces that were made for them."""

    def __init__(
        self,
        name: str,
        *,
        settings: Settings,
        pools: Mapping[str, PoolPlan],
        provider: kubernetes.Provider,
        cluster: pulumi.Resource,
        needs: Sequence[pulumi.Resource] = (),
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("trainyard:components:Queues", name, None, opts)
        self._label = name
        self._objects = pulumi.ResourceOptions(parent=self, provider=provider, deleted_with=cluster)
        release = self._release(settings.namespaces, needs)
        check = self._check(release)
        self.namespaces = self._namespaces(settings.namespaces)
        self.names = []
        for plan in plan_queues(pools):
            flavor = self._custom(
                f"{plan.name}-flavor",
                "ResourceFlavor",
                plan.name,
                {
                    "nodeLabels": plan.node_labels,
                    "tolerations": [one.spec() for one in plan.tolerations],
                },
                [release],
            )
            for queue, more, after in (
                (plan.name, {}, [flavor]),
                (
                    f"{plan.name}{GANG}",
                    {"admissionChecksStrategy": {"admissionChecks": [{"name": CHECK}]}},
                    [flavor, check],
                ),
            ):
                spec = {**cluster_queue_spec(plan, lends=queue == plan.name), **more}
                cluster_queue = self._custom(f"{queue}-cluster", "ClusterQueue", queue, spec, after)
                for namespace in settings.namespaces:
                    made = [self.namespaces[namespace]] if namespace in self.namespaces else []
                    self._custom(
                        f"{namespace}-{queue}",
                        "LocalQueue",
                        queue,
                        {"clusterQueue": queue},
                        [cluster_queue, *made],
                        namespace=namespace,
                    )
                self.names.append(queue)
        self.register_outputs({})

    def _release(self, namespaces: Sequence[str], needs: Sequence[pulumi.Resource]) -> pulumi.Resource:
        return kubernetes.helm.v3.Release(
            self._label,
            name=CHART,
            chart=f"{REPOSITORY}/{CHART}",
            version=VERSION,
            namespace=NAMESPACE,
            create_namespace=True,
            values=chart_values(namespaces),
            timeout=900,
            opts=pulumi.ResourceOptions.merge(
                self._objects,
                pulumi.ResourceOptions(
                    depends_on=list(needs),
                    custom_timeouts=pulumi.CustomTimeouts(create="20m", update="20m", delete="15m"),
                ),
            ),
        )

    def _check(self, release: pulumi.Resource) -> pulumi.Resource:
        config = self._custom(
            "gangs",
            "ProvisioningRequestConfig",
            CHECK,
            {
                "provisioningClassName": PROVISIONING_CLASS,
                # A gang that could not have its machines gives its quota back, waits, and asks again for ever.
                "retryStrategy": {
                    "backoffLimitCount": _NEVER_GIVE_UP,
                    "backoffBaseSeconds": _BACKOFF_SECONDS,
                    "backoffMaxSeconds": 10 * _BACKOFF_SECONDS,
                },
            },
            [release],
        )
        return self._custom(
            "check",
            "AdmissionCheck",
            CHECK,
            {
                "controllerName": "kueue.x-k8s.io/provisioning-request",
                "parameters": {"apiGroup": "kueue.x-k8s.io", "kind": "ProvisioningRequestConfig", "name": CHECK},
            },
            [config],
        )

    def _namespaces(self, wanted: Sequence[str]) -> dict[str, pulumi.Resource]:
        return {
            one: core.Namespace(
                f"{self._label}-{one}", metadata=meta.ObjectMetaArgs(name=one, labels=_LABELS), opts=self._objects
            )
            for one in wanted
            if one != "default"
        }

    def _custom(
        self,
        label: str,
        kind: str,
        name: str,
        spec: dict[str, Any],
        needs: Sequence[pulumi.Resource],
        *,
        namespace: str | None = None,
    ) -> CustomResource:
        return CustomResource(
            f"{self._label}-{label}",
            api_version=API,
            kind=kind,
            metadata=meta.ObjectMetaArgs(name=name, namespace=namespace, labels=_LABELS),
            spec=spec,
            opts=pulumi.ResourceOptions.merge(self._objects, pulumi.ResourceOptions(depends_on=list(needs))),
        )


def cluster_queue_spec(plan: QueuePlan, *, lends: bool) -> dict[str, Any]:
    """A class's ClusterQueue.

    Args:
        plan: the class.
        lends: whether the quota is its own, for the gang queue to borrow; else it has none and borrows all.
    """
    quota = [
        {"name": resource, "nominalQuota": quantity if lends else "0"} for resource, quantity in plan.quota.items()
    ]
    return {
        "cohortName": plan.name,
        "namespaceSelector": {},
        "queueingStrategy": "BestEffortFIFO",
        "preemption": {
            "withinClusterQueue": "Never",
            "reclaimWithinCohort": "Never",
            "borrowWithinCohort": {"policy": "Never"},
        },
        "resourceGroups": [
            {"coveredResources": list(plan.quota), "flavors": [{"name": plan.name, "resources": quota}]}
        ],
    }


def chart_values(namespaces: Sequence[str]) -> dict[str, Any]:
    """What the chart is given, besides its own defaults: a released image, the system pool, and what is queued.

    Args:
        namespaces: those that have queues.
    """
    return {
        "controllerManager": {
            "replicas": 1,
            "manager": {
                "image": {
                    "repository": "registry.k8s.io/kueue/kueue",
                    "tag": f"v{VERSION}",
                    "pullPolicy": "IfNotPresent",
                },
                "priorityClassName": "system-cluster-critical",
            },
            "nodeSelector": {"kubernetes.azure.com/mode": "system"},
            "tolerations": [{"key": "CriticalAddonsOnly", "operator": "Exists"}],
        },
        "managerConfig": {"controllerManagerConfigYaml": yaml.safe_dump(manager_config(namespaces), sort_keys=True)},
    }


def manager_config(namespaces: Sequence[str]) -> dict[str, Any]:
    """Kueue's own configuration: jobs and JobSets that name a queue are its business, all others are not.

    While Kueue does not answer, the API server takes no Job where Kueue is asked first. It is asked in the namespaces
    that have queues alone: the chart hands the selector on to the webhooks.

    Args:
        namespaces: those that have queues.
    """
    return {
        "apiVersion": "config.kueue.x-k8s.io/v1beta2",
        "kind": "Configuration",
        "health": {"healthProbeBindAddress": ":8081"},
        "metrics": {"bindAddress": ":8443"},
        "webhook": {"port": 9443},
        "leaderElection": {"leaderElect": True, "resourceName": "c1f6bfd2.kueue.x-k8s.io"},
        "clientConnection": {"qps": 50, "burst": 100},
        "manageJobsWithoutQueueName": False,
        "managedJobsNamespaceSelector": {
            "matchExpressions": [
                {"key": "kubernetes.io/metadata.name", "operator": "In", "values": list(namespaces)},
            ]
        },
        "integrations": {"frameworks": ["batch/job", "jobset.x-k8s.io/jobset"]},
    }
