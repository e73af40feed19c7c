"""Training-free codes: what learned codes are measured against."""
