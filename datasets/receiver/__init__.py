"""The part of an upload that runs inside the cluster, in a Job's pod.

Standard library only: the files of this package are carried in a ConfigMap into a stock Python image
(docs/adr/0010-dataset-receiver.md). The command on the user's machine imports them too, so that both sides mean the
same by a block, a manifest and an answer.
"""
