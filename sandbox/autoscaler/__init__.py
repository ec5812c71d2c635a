"""What cluster-autoscaler does, in the sandbox, as the declared Deployment says and `capacity.autoscaling` decides.

Owns the turns, what is read for them, and what follows from them on Azure and on the API server. Does not own the
decisions. CA in docstrings stands for kubernetes/autoscaler `cluster-autoscaler/` at 1.36.1, AZ for its
`cloudprovider/azure/`.
"""
