"""What storage operators do in a cluster: Rook with ceph-csi-operator, Kadalu, Portworx, and the CSI drivers' volumes.

No operator's program runs. Each part here acts as one of them would, and only while that operator's own pod is ready:
where its Deployment is not scheduled, nothing of it happens. Pods of daemons and CSI plugins are made with the
placement that settings, chart values and custom resources give, and the real scheduler decides. All that is known is
read from the API server, so that the process can be killed at any moment.
"""
