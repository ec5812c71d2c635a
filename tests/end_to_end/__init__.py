"""The whole, end to end: the real engine, program and control plane, as a user sees them.

All tests share one deployed sandbox and leave it as they found it; the modules run in alphabetical order, and
`test_when_broken.py`, which does violence, is the last.
"""
