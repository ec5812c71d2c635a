"""Waiting until an object is ready, kind by kind, as pulumi-kubernetes waits.

`ready` starts a wait; each kind's rules are in a module of their own: what they decide from are events of a watch.
"""
