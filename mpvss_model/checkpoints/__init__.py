"""Whole models on disk: loaded, saved, converted, compared."""
