"""Stand-ins for Pulumi providers that no registry reached here has; the engine attaches to them."""
