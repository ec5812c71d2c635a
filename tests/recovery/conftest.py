from tests.sandbox.azure_native.conftest import bench, tools

__all__ = ["bench", "tools"]
