"""What the autoscaler decides: pure functions with the meaning and defaults of cluster-autoscaler 1.36.

`capacity.simulation` and the sandbox's own autoscaler call the same functions. CA in docstrings stands for
kubernetes/autoscaler `cluster-autoscaler/` at 1.36.1; what a rule rests on is named beside it.

Owns: which groups grow, by how much, and which machines go. Does not own: where pods are put (kube-scheduler), what
Azure grants (quota, capacity), nor any clock.
"""
