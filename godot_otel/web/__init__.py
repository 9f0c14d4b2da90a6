"""The door over HTTP: one app for everything that is served, on loopback unless told.

``guard`` checks Host and Origin, ``sign_in`` who asks; then ``/mcp``, ``/api``
(``api/``) and ``/healthz``. The page joins them here.
"""
