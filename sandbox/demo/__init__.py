"""`make demo-scale`: forty GPU jobs on the running sandbox, zero to forty machines and back, to watch and to keep."""
