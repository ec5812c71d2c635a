"""Rook: a CephCluster's monitors, managers and OSDs, its file systems and pools, in Rook's order.

After rook/rook v1.20.6 pkg/operator/ceph. Of Ceph itself there is only what others depend on: whether daemons run,
which pools and file systems exist, and which subvolumes and images are in them. Left out: crash collectors, exporters,
services of monitors, object stores, mirrors, canary pods, upgrades.
"""
