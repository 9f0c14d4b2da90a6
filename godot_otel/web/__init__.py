"""The door over HTTP: one app on the loopback interface for everything that is served.

Today ``/mcp`` and ``/healthz``; the JSON API and the page join them here.
"""
