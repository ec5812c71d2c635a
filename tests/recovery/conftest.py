from tests.sandbox.azure_native.conftest import bench

__all__ = ["bench"]
