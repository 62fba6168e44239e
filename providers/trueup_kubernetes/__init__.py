"""The kubernetes provider of trueup: any kind that a cluster serves, by server-side apply."""
