"""Mends a stack after the engine, or a provider, was killed in the middle of a deployment.

The engine alone does not: what it was about to create is neither in its state nor refused politely, the next
`pulumi up` creates it again and Azure says that it is there. `python -m recovery` takes into the state what Azure
has and forgets the rest. Works on Azure and in the sandbox alike.
"""
