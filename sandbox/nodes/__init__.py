"""AKS's hand inside the Kubernetes cluster: nodes, add-ons, GPUs and storage drivers.

A controller over the machines of the simulated Azure and the API server. kwok plays the kubelet's part of
starting and ending pods (`kwok.yaml`); what depends on Azure, on GPUs or on a container's own arguments is
decided here. It keeps nothing of its own: all it knows is read from the two servers, so that it can be killed
at any moment.
"""
