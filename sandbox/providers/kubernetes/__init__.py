"""The Kubernetes provider for machines without the real `pulumi-resource-kubernetes`.

Speaks the engine's provider protocol and gives every Kubernetes object the outcome that pulumi-kubernetes 4.34 gives
it: names, fields, waits, replacements, deletion. Owns no state but what the engine keeps. Does not render Helm charts,
YAML files or Kustomize folders: the first are recorded (`releases`), the others refused.
"""
