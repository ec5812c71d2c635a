"""Services on the `serve` pools, whose replicas follow their load, and whose machines follow the replicas.

Owns each service's Deployment, Service, disruption budget and HPA, and the adapter that gives the HPA GPU utilisation
where the stack file names a Prometheus. Does not own Prometheus nor dcgm-exporter, which measures.

The HPA's maximum fits the pools' (`capacity/serve_plan.py`), so it never asks for a machine that cannot come. The
number of replicas is the HPA's alone: the Deployment says none, so an update does not set it back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pulumi
import pulumi_kubernetes as kubernetes
from pulumi_kubernetes.apps import v1 as apps
from pulumi_kubernetes.autoscaling import v2 as autoscaling
from pulumi_kubernetes.core import v1 as core
from pulumi_kubernetes.meta import v1 as meta
from pulumi_kubernetes.policy import v1 as policy

from capacity.pools import PoolPlan
from capacity.serve_plan import ServicePlan, cpu_milli, memory_mib, plan_service
from components.file_system.base import toleration_args
from stacks.workload_settings import GpuMetrics, Service

GPU_METRIC = "dcgm_gpu_utilization"
ADAPTER_NAMESPACE = "gpu-metrics"
ADAPTER, ADAPTER_VERSION = "prometheus-adapter", "5.1.0"
ADAPTER_REPOSITORY = "https://prometheus-community.github.io/helm-charts"
_PART = {"app.kubernetes.io/part-of": "trainyard"}


class Serve(pulumi.ComponentResource):
    """All services of a stack.

    Args:
        services: name to settings.
        gpu_metrics: where GPU utilisation is found; None: nowhere.
        pools: key to plan.
        namespaces: those that others of the stack make already.
        provider: the cluster.
    """

    outputs: dict[str, object]
    """Name to the address inside the cluster and the replicas' bounds."""

    def __init__(
        self,
        name: str,
        *,
        services: Mapping[str, Service],
        gpu_metrics: GpuMetrics | None,
        pools: Mapping[str, PoolPlan],
        namespaces: Mapping[str, pulumi.Resource],
        provider: kubernetes.Provider,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("trainyard:components:Serve", name, None, opts)
        self._label = name
        self._objects = pulumi.ResourceOptions(parent=self, provider=provider)
        made = dict(namespaces)
        for namespace in sorted({one.namespace for one in services.values()} - set(made) - {"default"}):
            made[namespace] = core.Namespace(
                f"{name}-{namespace}", metadata=meta.ObjectMetaArgs(name=namespace, labels=_PART), opts=self._objects
            )
        adapter = [self._adapter(gpu_metrics)] if gpu_metrics else []
        self.outputs = {}
        for key, service in services.items():
            needs = [made[service.namespace]] if service.namespace in made else []
            self._service(key, service, plan_service(service, pools), needs, adapter)
            self.outputs[key] = {
                "address": f"http://{key}.{service.namespace}.svc.cluster.local:{service.port}",
                "minReplicas": service.min_replicas,
                "maxReplicas": service.max_replicas,
            }
        self.register_outputs({})

    def _service(
        self,
        key: str,
        service: Service,
        plan: ServicePlan,
        needs: Sequence[pulumi.Resource],
        adapter: Sequence[pulumi.Resource],
    ) -> None:
        label, after = f"{self._label}-{key}", self._after(needs)
        selector = {"app.kubernetes.io/name": key}
        head = meta.ObjectMetaArgs(name=key, namespace=service.namespace, labels={**selector, **_PART})
        match = meta.LabelSelectorArgs(match_labels=selector)
        deployment = apps.Deployment(
            label,
            metadata=head,
            spec=apps.DeploymentSpecArgs(
                selector=match,
                # A GPU replica's successor waits for a machine; the old ones serve until it is ready.
                strategy=apps.DeploymentStrategyArgs(
                    rolling_update=apps.RollingUpdateDeploymentArgs(max_surge=1, max_unavailable=0)
                ),
                progress_deadline_seconds=service.startup_seconds + 1200,
                template=core.PodTemplateSpecArgs(
                    metadata=meta.ObjectMetaArgs(labels={**selector, **_PART}),
                    spec=pod_spec(key, service, plan),
                ),
            ),
            opts=pulumi.ResourceOptions.merge(
                after,
                pulumi.ResourceOptions(
                    ignore_changes=["spec.replicas"],
                    custom_timeouts=pulumi.CustomTimeouts(create="40m", update="40m"),
                ),
            ),
        )
        core.Service(
            label,
            metadata=head,
            spec=core.ServiceSpecArgs(
                selector=selector, ports=[core.ServicePortArgs(name="http", port=service.port, target_port="http")]
            ),
            opts=after,
        )
        policy.PodDisruptionBudget(
            label,
            metadata=head,
            spec=policy.PodDisruptionBudgetSpecArgs(max_unavailable=1, selector=match),
            opts=after,
        )
        if service.min_replicas == service.max_replicas and not metrics(service):
            return
        autoscaling.HorizontalPodAutoscaler(
            label,
            metadata=head,
            spec=autoscaling.HorizontalPodAutoscalerSpecArgs(
                scale_target_ref=autoscaling.CrossVersionObjectReferenceArgs(
                    api_version="apps/v1", kind="Deployment", name=key
                ),
                min_replicas=service.min_replicas,
                max_replicas=service.max_replicas,
                metrics=metrics(service),
                behavior=autoscaling.HorizontalPodAutoscalerBehaviorArgs(
                    # A machine takes minutes to come: what goes too early is missed for long.
                    scale_down=autoscaling.HPAScalingRulesArgs(stabilization_window_seconds=600)
                ),
            ),
            opts=pulumi.ResourceOptions.merge(after, pulumi.ResourceOptions(depends_on=[deployment, *adapter])),
        )

    def _after(self, needs: Sequence[pulumi.Resource]) -> pulumi.ResourceOptions:
        return pulumi.ResourceOptions.merge(self._objects, pulumi.ResourceOptions(depends_on=list(needs)))

    def _adapter(self, gpu_metrics: GpuMetrics) -> pulumi.Resource:
        return kubernetes.helm.v3.Release(
            f"{self._label}-{ADAPTER}",
            name=ADAPTER,
            chart=ADAPTER,
            version=ADAPTER_VERSION,
            namespace=ADAPTER_NAMESPACE,
            create_namespace=True,
            repository_opts=kubernetes.helm.v3.RepositoryOptsArgs(repo=ADAPTER_REPOSITORY),
            values=adapter_values(gpu_metrics),
            opts=self._objects,
        )


def pod_spec(key: str, service: Service, plan: ServicePlan) -> core.PodSpecArgs:
    """A replica: on serve machines only, with what it asks for as its limit, CPU apart."""
    gpus = {plan.gpu_resource: str(service.gpu)} if plan.gpu_resource else {}
    memory = f"{memory_mib(service)}Mi"
    probe: dict[str, Any] = (
        {"http_get": core.HTTPGetActionArgs(path=service.health_path, port="http")}
        if service.health_path
        else {"tcp_socket": core.TCPSocketActionArgs(port="http")}
    )
    return core.PodSpecArgs(
        node_selector=plan.node_selector,
        tolerations=toleration_args(plan.tolerations),
        automount_service_account_token=False,
        topology_spread_constraints=[
            core.TopologySpreadConstraintArgs(
                max_skew=1,
                topology_key="kubernetes.io/hostname",
                when_unsatisfiable="ScheduleAnyway",
                label_selector=meta.LabelSelectorArgs(match_labels={"app.kubernetes.io/name": key}),
            )
        ],
        containers=[
            core.ContainerArgs(
                name=key,
                image=service.image,
                args=list(service.args) or None,
                ports=[core.ContainerPortArgs(name="http", container_port=service.port)],
                resources=core.ResourceRequirementsArgs(
                    requests={"cpu": f"{cpu_milli(service)}m", "memory": memory, **gpus},
                    limits={"memory": memory, **gpus},
                ),
                startup_probe=core.ProbeArgs(
                    **probe, period_seconds=10, failure_threshold=-(-service.startup_seconds // 10)
                ),
                readiness_probe=core.ProbeArgs(**probe, period_seconds=5),
                liveness_probe=core.ProbeArgs(**probe, period_seconds=10, failure_threshold=6),
                security_context=core.SecurityContextArgs(allow_privilege_escalation=False),
            )
        ],
    )


def metrics(service: Service) -> list[autoscaling.MetricSpecArgs]:
    """What the HPA looks at; of several the one that asks for most replicas wins."""
    found: list[autoscaling.MetricSpecArgs] = []
    if service.target_cpu is not None:
        target = autoscaling.MetricTargetArgs(type="Utilization", average_utilization=service.target_cpu)
        found.append(
            autoscaling.MetricSpecArgs(
                type="Resource", resource=autoscaling.ResourceMetricSourceArgs(name="cpu", target=target)
            )
        )
    if service.target_gpu is not None:
        target = autoscaling.MetricTargetArgs(type="AverageValue", average_value=str(service.target_gpu))
        metric = autoscaling.MetricIdentifierArgs(name=GPU_METRIC)
        found.append(
            autoscaling.MetricSpecArgs(type="Pods", pods=autoscaling.PodsMetricSourceArgs(metric=metric, target=target))
        )
    return found


def adapter_values(gpu_metrics: GpuMetrics) -> dict[str, Any]:
    """What prometheus-adapter is given: DCGM's utilisation, by the pod that holds the GPU, and no metric else.

    Prometheus renames dcgm-exporter's labels `namespace` and `pod` to `exported_…`, as its own have these names.
    """
    rule = {
        "seriesQuery": 'DCGM_FI_DEV_GPU_UTIL{exported_namespace!="",exported_pod!=""}',
        "resources": {
            "overrides": {"exported_namespace": {"resource": "namespace"}, "exported_pod": {"resource": "pod"}}
        },
        "name": {"as": GPU_METRIC},
        "metricsQuery": "avg(<<.Series>>{<<.LabelMatchers>>}) by (<<.GroupBy>>)",
    }
    return {
        "prometheus": {"url": gpu_metrics.prometheus_url, "port": gpu_metrics.port},
        "rules": {"default": False, "custom": [rule]},
        "replicas": 1,
        "nodeSelector": {"kubernetes.azure.com/mode": "system"},
        "tolerations": [{"key": "CriticalAddonsOnly", "operator": "Exists"}],
    }
