"""Rendering: what kustomize and helm make of a stack's files. `render.render_stack` is the way in."""
