"""The platform's parts: one `pulumi.ComponentResource` a file."""
