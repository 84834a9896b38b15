"""The report: self-contained HTML pages, on one or two runs, or on how values hang together over many policies."""

from valueagents.report.many_page import write_circle_page, write_validity_page
from valueagents.report.page import write_report

__all__ = ["write_circle_page", "write_report", "write_validity_page"]
