"""Looks at everything a machine's part of the pipeline needs; changes nothing.

Each module checks one thing and yields a ``Check`` for each finding, in the pipeline's
order. ``store_server`` alone needs more than an application has installed.
"""
