"""The doctor: examines a folder of images and masks, says what is odd and proposes a recipe."""

from .contact_sheet import draw_sheet
from .diagnosis import Diagnosis, diagnose
from .page import check_page, write_page
from .proposal import is_edited, stale_sizes
from .report import report_text, tell

__all__ = [
    "Diagnosis",
    "check_page",
    "diagnose",
    "draw_sheet",
    "is_edited",
    "report_text",
    "stale_sizes",
    "tell",
    "write_page",
]
