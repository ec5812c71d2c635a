"""The blob service as clients meet it: names, networks, sign-in and roles in front of Azurite, which holds the blobs.

Accounts and containers are Resource Manager's; this part reads them from its file and never writes there.
"""
