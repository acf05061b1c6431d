"""Other libraries' interfaces on top of gridcode: change an import, keep the code and the checkpoints.

One package per library, named as that library is.
"""
