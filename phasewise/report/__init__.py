"""The comparison as one HTML file that needs nothing else, and as a picture for a README.

results -> statistics.compare, atlas -> material -> sections and drawings, of markup and plots -> page
"""

from phasewise.report.atlas import geography_of
from phasewise.report.geometry import Geography, SignalGeometry, StageMovement
from phasewise.report.page import write_report
from phasewise.report.picture import write_picture

__all__ = ["Geography", "SignalGeometry", "StageMovement", "geography_of", "write_picture", "write_report"]
