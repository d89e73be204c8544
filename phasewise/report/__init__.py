"""The comparison as one HTML file that needs nothing else, and as a picture for a README.

results -> statistics.compare -> material -> sections and drawings, of markup and plots -> page
"""

from phasewise.report.geometry import SignalGeometry, StageMovement
from phasewise.report.page import write_report
from phasewise.report.picture import write_picture

__all__ = ["SignalGeometry", "StageMovement", "write_picture", "write_report"]
