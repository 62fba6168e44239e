"""trueup keeps infrastructure true to Git: one graph and one plan across clusters, clouds and hosts."""

__version__ = "0.1.0"
