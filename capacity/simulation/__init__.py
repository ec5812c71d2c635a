"""What a stack would do with a list of jobs: who waits how long, which machines run when, and what that costs.

The decisions are those of `capacity.autoscaling`, which the sandbox takes too. Everything around them is a model, and
each module says which one. Pure: traces in, figures out.
"""
