"""What a run tells of itself: scores, calibration, plots and the card."""
