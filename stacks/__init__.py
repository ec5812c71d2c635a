"""The stack files and what they may say."""
