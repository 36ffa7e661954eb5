"""The checks of `dbd-ray doctor`: what this machine has, and what is wrong with it.

None of them starts a Ray or a server, downloads anything, or leaves a file behind.
"""
