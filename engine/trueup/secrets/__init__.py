"""Secrets: which ones a stack may read, and the sources that come with trueup."""
