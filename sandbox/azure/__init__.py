"""The simulated Azure Resource Manager: what Pulumi, Azure's SDKs and the autoscaler talk to in the sandbox.

Strict where Azure is strict. State lives in SQLite alone (`store`, `operations`), so the process may be
killed and started again at any moment. `server` speaks HTTPS, `pipeline` takes one request through the
checks that all types share, and one behaviour a resource type (`behaviour`) does the rest.
"""
