"""Annotation files of published sets, each read by the file of its name.

Each has `read(path, root)`: the samples that the list `path` names, their videos below `root`, and
the classes of the set.
"""
