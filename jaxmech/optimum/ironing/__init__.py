"""Ironing: virtual types of laws that are not regular (theory §14)."""
