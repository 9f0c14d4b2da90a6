"""What is written of each table, in the order in which rows are packed."""

from __future__ import annotations

LOGS = (
    "seq, time, time_nanos, template_id, resource_id, scope_id, home, severity,"
    " observed_time, observed_nanos, trace_id, span_id, trace_flags,"
    " dropped_attributes, severity_text, environment, service, logger, event_name,"
    " body, body_data, attributes"
)
SPANS = (
    "seq, time, time_nanos, duration_ns, resource_id, scope_id, home, kind, status,"
    " flags, trace_id, span_id, parent_id, environment, service, name,"
    " dropped_attributes, dropped_events, dropped_links, status_message, trace_state,"
    " attributes, events, links"
)
FILTERS = "time_first, time_last, seq_first, seq_last, bits, format, words"
"""Of ``word_filters`` and ``span_filters``."""
TRACE_INDEX = "first, last, trace_id, lines, errors, spans, span_errors, service"
LOG_COUNTS = "minute, first, last, template_id, n, severity, environment, service"
OPERATION_COUNTS = (
    "minute, n, errors, duration_ns, bucket, kind, environment, service, name"
)
