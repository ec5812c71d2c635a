"""What Azure Resource Manager calls the resources that Pulumi's azure-native declares.

Pure: reads data files and the SDK's own classes, talks to nothing. The sandbox's provider and the recovery
command stand on it.
"""
