"""The program: a stack file in, a platform out."""
