"""The report of a dive: one page that opens anywhere, with no network."""

from tools.shore.report.command import report, write_report

__all__ = ["report", "write_report"]
