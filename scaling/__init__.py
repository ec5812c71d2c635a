"""Updating a cluster whose machines an autoscaler of its own adds: pause, settle, update, go on.

Knows a deployed stack by its outputs, Azure through its Resource Manager, the cluster through `kubectl`, and the
engine through `pulumi`. Not part of the program.
"""
