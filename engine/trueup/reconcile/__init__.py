"""The loop: cycle reads top to bottom, each verb it uses is a file here."""
